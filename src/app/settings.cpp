#include "app/settings.hpp"

#include <algorithm>

#include "balancer/policies/registry.hpp"
#include "health/discovery.hpp"

namespace buildkit_lb::app {
namespace {

std::string_view name_of(config::policy policy)
{
    switch (policy) {
        case config::policy::round_robin: return "round-robin";
        case config::policy::least_active_builds: return "least-active-builds";
        case config::policy::cache_affinity: break;
    }
    return "cache-affinity";
}

}  // namespace

std::unique_ptr<balancer::policy> make_policy(const config::pool& from)
{
    const auto& a = from.affinity;
    return balancer::make_policy(name_of(from.policy), {a.load_factor, a.spill_after, a.memory, a.warmth_ttl});
}

balancer::queue_settings queue_settings_of(const config::pool& from)
{
    return {from.queue.max_length, from.queue.timeout, from.queue.when_empty == config::when_empty::wait};
}

balancer::outlier_settings outlier_settings_of(const config::pool& from)
{
    const auto& o = from.outlier_detection;
    return {o.consecutive_failures, o.ejection_time, o.max_ejection_time, o.max_ejected};
}

balancer::failover_settings failover_settings_of(const config::pool& from)
{
    return {from.failover.attempts, from.failover.record.value, from.failover.liveness};
}

balancer::platform_settings platform_settings_of(const config::pool& from)
{
    return {from.platform_routing, from.default_platform == "auto" ? std::string{} : from.default_platform};
}

balancer::placement_limits placement_limits_of(const config::limits& from)
{
    balancer::placement_limits limits;
    limits.hold_time = from.hold_time;
    limits.held_calls = from.held_calls;
    limits.held_bytes = from.held_bytes.value;
    limits.remembered_builds = from.remembered_builds;
    return limits;
}

http2::options http2_options_of(const config::limits& from)
{
    http2::options options;
    options.max_concurrent_streams = from.streams_per_connection;
    options.memory_budget = from.connection_memory.value;
    options.connection_window =
        static_cast<std::uint32_t>(std::min<std::uint64_t>(options.connection_window, from.connection_memory.value));
    options.max_header_list = static_cast<std::uint32_t>(from.header_list.value);
    options.max_header_block = 2 * from.header_list.value;
    options.max_continuations = from.continuations;
    options.max_outbound_acks = from.unread_acks;
    options.floods.resets = from.resets_per_second;
    options.floods.pings = from.pings_per_second;
    options.floods.settings = from.settings_per_second;
    options.floods.window_updates = from.window_updates_per_second;
    options.floods.priorities = from.priorities_per_second;
    options.floods.empty_frames = from.empty_frames_per_second;
    options.floods.burst_seconds = std::chrono::duration<double>(from.burst_time).count();
    return options;
}

proxy::client_limits client_limits_of(const config::limits& from)
{
    return {from.internal_builds_per_client, from.queued_builds_per_client, from.held_calls_per_client,
            from.sessions_per_client, from.message_size.value};
}

proxy::proxy_version proxy_version_of(const config::pool& from)
{
    switch (from.send_proxy) {
        case config::send_proxy::off: break;
        case config::send_proxy::v1: return proxy::proxy_version::v1;
        case config::send_proxy::v2: return proxy::proxy_version::v2;
    }
    return proxy::proxy_version::off;
}

std::vector<balancer::worker_settings> workers_of(const config::pool& from, const config::limits& limits,
                                                  const std::vector<endpoint>& discovered)
{
    std::vector<balancer::worker_settings> workers;
    workers.reserve(from.workers.size() + discovered.size());
    for (const auto& w : from.workers) {
        workers.push_back({w.name, w.address, w.weight, w.max_builds, limits.internal_builds_per_worker, w.labels});
    }
    for (const auto& address : discovered) {
        const bool configured = std::any_of(from.workers.begin(), from.workers.end(), [&](const config::worker& w) {
            return w.address == address || w.name == health::discovered_name(address);
        });
        if (!configured) {
            workers.push_back({health::discovered_name(address),
                               address,
                               worker_weight{1},
                               from.discovery->max_builds,
                               limits.internal_builds_per_worker,
                               {}});
        }
    }
    return workers;
}

}  // namespace buildkit_lb::app
