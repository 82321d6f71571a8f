#include "app/application.hpp"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <csignal>
#include <stdexcept>

#include "balancer/policies/registry.hpp"
#include "core/log.hpp"
#include "metrics/collectors.hpp"
#include "proxy/buildkit/collector.hpp"
#include "proxy/buildkit/connection.hpp"

namespace buildkit_lb::app {

namespace asio = boost::asio;
using namespace asio::experimental::awaitable_operators;
using namespace std::chrono_literals;

namespace {

// How often held calls are looked at for their deadlines.
constexpr auto sweep_interval = 500ms;

// How often a stop looks whether the last connection has ended.
constexpr auto drain_interval = 20ms;

std::string_view name_of(config::policy policy)
{
    switch (policy) {
        case config::policy::round_robin: return "round-robin";
        case config::policy::least_active_builds: return "least-active-builds";
        case config::policy::cache_affinity: break;
    }
    return "cache-affinity";
}

balancer::affinity_settings affinity_of(const config::affinity& from)
{
    return {from.load_factor, from.spill_after, from.memory, from.warmth_ttl};
}

balancer::queue_settings queue_settings_of(const config::queue& from)
{
    return {from.max_length, from.timeout, from.when_empty == config::when_empty::wait};
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
    return options;
}

}  // namespace

/// A pool, what probes it, and what its listeners share.
struct application::pool {
    pool(const config::pool& from, const config::limits& limits, asio::any_io_executor control,
         metrics::instruments& instruments)
        : upstream{std::make_shared<balancer::pool>(
                       from.name, workers_of(from, limits),
                       balancer::make_policy(name_of(from.policy), affinity_of(from.affinity)),
                       queue_settings_of(from.queue), platform_settings_of(from)),
                   from.connect_timeout},
          buildkit{upstream, placement_limits_of(limits)},
          prober{control, upstream.workers, from.health_check, instruments}
    {
        buildkit.key_sources = from.affinity.keys;
        instruments.add_pool(from.name);
        for (const auto& w : from.workers) {
            instruments.add_worker(from.name, w.name);
        }
    }

    static std::vector<balancer::worker_settings> workers_of(const config::pool& from, const config::limits& limits)
    {
        std::vector<balancer::worker_settings> workers;
        for (const auto& w : from.workers) {
            workers.push_back({w.name, w.address, w.weight, w.max_builds, limits.internal_builds_per_worker, w.labels});
        }
        return workers;
    }

    proxy::upstream_pool upstream;
    proxy::buildkit_pool buildkit;
    health::prober prober;
};

/// What the connections of one listener need, by its protocol.
struct application::service {
    proxy::tcp_service tcp;
    proxy::buildkit_service buildkit;
    std::vector<std::unique_ptr<proxy::buildkit_service>> by_host;  // of the same listener
};

application::application(const config::root& settings)
    : settings_{settings},
      signals_{control_, SIGTERM, SIGINT},
      instruments_{BUILDKIT_LB_VERSION},
      threads_{settings.threads},
      tasks_{control_.get_executor()}
{
    make_pools();
    for (const auto& from : settings_.listeners) {
        make_listener(from);
    }
    make_admin();
}

application::~application()
{
    // Connections refer to everything else.
    threads_.stop();
}

void application::make_pools()
{
    std::vector<std::shared_ptr<const balancer::pool>> collected;
    for (const auto& from : settings_.pools) {
        pools_.push_back(std::make_unique<pool>(from, settings_.limits, control_.get_executor(), instruments_));
        collected.push_back(pools_.back()->upstream.workers);
    }
    instruments_.add_collector(metrics::make_pool_collector(std::move(collected)));
    instruments_.add_collector(metrics::make_process_collector());
    std::vector<const proxy::buildkit_pool*> held;
    for (const auto& p : pools_) {
        held.push_back(&p->buildkit);
    }
    instruments_.add_collector(proxy::make_buildkit_collector(std::move(held)));
}

application::pool& application::find_pool(std::string_view name) const
{
    return **std::find_if(pools_.begin(), pools_.end(),
                          [&](const auto& p) { return p->upstream.workers->name() == name; });
}

void application::make_listener(const config::listener& from)
{
    auto& of = find_pool(from.pool);
    auto& counters = instruments_.for_listener(from.name);
    services_.push_back(std::make_unique<service>(service{
        {of.upstream, instruments_, counters, from.idle_timeout},
        {from.name, of.buildkit, instruments_, counters, from.idle_timeout, settings_.progress,
         settings_.limits.internal_builds_per_client, http2_options_of(settings_.limits),
         settings_.limits.pool_call_timeout, from.require},
        {},
    }));
    auto& served = *services_.back();
    for (const auto& route : from.hosts) {
        auto& other = find_pool(route.pool).buildkit;
        served.by_host.push_back(std::make_unique<proxy::buildkit_service>(
            proxy::buildkit_service{from.name, other, instruments_, counters, from.idle_timeout, settings_.progress,
                                    settings_.limits.internal_builds_per_client, http2_options_of(settings_.limits),
                                    settings_.limits.pool_call_timeout, from.require}));
        served.buildkit.hosts.push_back({route.host, served.by_host.back().get()});
    }
    proxy::listener::connection_handler handler;
    if (from.protocol == config::protocol::tcp) {
        handler = [&served](proxy::data_thread& on, stream_socket socket) {
            return proxy::run_tcp_connection(served.tcp, on, std::move(socket));
        };
    } else {
        handler = [&served](proxy::data_thread& on, stream_socket socket) {
            return proxy::run_buildkit_connection(served.buildkit, on, std::move(socket));
        };
    }
    listeners_.push_back(std::make_unique<proxy::listener>(
        control_.get_executor(), proxy::listener_settings{from.name, from.address, from.max_connections}, threads_,
        instruments_, std::move(handler)));
}

void application::make_admin()
{
    admin::context about{instruments_, {}, [this] { return ready(); }};
    for (const auto& p : pools_) {
        about.pools.push_back(p->upstream.workers);
    }
    admin_ = std::make_unique<admin::server>(control_.get_executor(), settings_.admin.address, std::move(about));
}

admin::readiness application::ready() const
{
    admin::readiness now;
    if (stopping_) {
        now.reasons.emplace_back("stopping");
    }
    for (const auto& from : settings_.listeners) {
        const auto check = [&](const std::string& name) {
            if (!find_pool(name).upstream.workers->snapshot()->ready()) {
                now.reasons.push_back("listener " + from.name + ": no worker of pool " + name + " is up");
            }
        };
        check(from.pool);
        for (const auto& route : from.hosts) {
            check(route.pool);
        }
    }
    now.ready = now.reasons.empty();
    return now;
}

bool application::run()
{
    for (const auto& p : pools_) {
        p->prober.start();
    }
    for (const auto& l : listeners_) {
        l->start();
        log::info("listening", {{"listener", l->name()}, {"address", l->local_address()}});
    }
    admin_->start();
    tasks_.spawn("sweep", sweep());
    asio::co_spawn(control_, serve_until_stopped(), [](const std::exception_ptr& error) {
        if (error) {
            std::rethrow_exception(error);
        }
    });
    control_.run();
    return all_ended_;
}

asio::awaitable<void> application::sweep()
{
    asio::steady_timer timer{control_};
    for (;;) {
        timer.expires_after(sweep_interval);
        co_await timer.async_wait(asio::use_awaitable);
        const auto now = clock::now();
        for (const auto& p : pools_) {
            p->buildkit.sweep(now);
        }
    }
}

asio::awaitable<void> application::wait_for_signal(int& signal)
{
    const auto [error, number] = co_await signals_.async_wait(asio::as_tuple(asio::use_awaitable));
    signal = error ? 0 : number;
}

asio::awaitable<void> application::serve_until_stopped()
{
    int signal = 0;
    co_await wait_for_signal(signal);
    stopping_ = true;
    log::info("stopping", {{"signal", signal},
                           {"connections", threads_.connections()},
                           {"grace", fmt::format("{}s", settings_.shutdown_grace.count() / 1000)}});
    for (const auto& l : listeners_) {
        l->close();
    }
    threads_.begin_drain();
    int second = 0;
    auto drained = drain();
    auto signalled = wait_for_signal(second);
    co_await (std::move(drained) || std::move(signalled));
    all_ended_ = threads_.connections() == 0;
    if (!all_ended_) {
        log::warn("connections are cut", {{"connections", threads_.connections()},
                                          {"why", second != 0 ? "a second signal" : "shutdown.grace ran out"}});
    }
    co_await stop_everything();
    log::info("stopped");
}

asio::awaitable<void> application::drain()
{
    const auto deadline = clock::now() + settings_.shutdown_grace;
    asio::steady_timer timer{control_};
    while (threads_.connections() != 0 && clock::now() < deadline) {
        timer.expires_after(drain_interval);
        co_await timer.async_wait(asio::use_awaitable);
    }
}

asio::awaitable<void> application::stop_everything()
{
    threads_.stop();
    for (const auto& l : listeners_) {
        co_await l->join();
    }
    for (const auto& p : pools_) {
        co_await p->prober.stop();
    }
    co_await admin_->stop();
    tasks_.cancel();
    co_await tasks_.join();
    signals_.cancel();
}

}  // namespace buildkit_lb::app
