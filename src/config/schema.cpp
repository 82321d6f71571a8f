#include "config/schema.hpp"

// One line a key: its name, where it goes (which holds its default), and what it may hold. A new key needs its line
// here, its field in config.hpp, and its words in conf/lb.yaml and docs/configuration.md (tests compare them).

namespace buildkit_lb::config {
namespace {

using namespace std::chrono_literals;

constexpr one_of protocols{word{"buildkit", protocol::buildkit}, word{"tcp", protocol::tcp}};
constexpr one_of proxy_protocols{word{"off", proxy_protocol::off}, word{"v1v2", proxy_protocol::v1v2}};
constexpr one_of send_proxies{word{"off", send_proxy::off}, word{"v1", send_proxy::v1}, word{"v2", send_proxy::v2}};
constexpr one_of policies{word{"round-robin", policy::round_robin},
                          word{"least-active-builds", policy::least_active_builds},
                          word{"cache-affinity", policy::cache_affinity}};
constexpr one_of probe_types{word{"buildkit", probe_type::buildkit}, word{"grpc", probe_type::grpc},
                             word{"tcp", probe_type::tcp}, word{"off", probe_type::off}};
constexpr one_of when_empties{word{"fail", when_empty::fail}, word{"wait", when_empty::wait}};
constexpr one_of levels{word{"debug", log::level::debug}, word{"info", log::level::info},
                        word{"warn", log::level::warn}, word{"error", log::level::error}};
constexpr one_of formats{word{"text", log::format::text}, word{"json", log::format::json}};

constexpr endpoint_url listen_address{endpoint_url::use::listen};
constexpr endpoint_url worker_address{endpoint_url::use::connect};
constexpr endpoint_url dns_address{endpoint_url::use::look_up};

constexpr byte_count operator""_KiB(unsigned long long n)
{
    return byte_count{n << 10};
}

void read_server_tls(section& in, tls::server_files& out)
{
    in.required("cert", out.cert, file_path{});
    in.required("key", out.key, file_path{});
    in.unset("client_ca", out.client_ca, file_path{});
    in.unset("client_crl", out.client_crl, file_path{});
    in.values("allow_names", out.allow_names, certificate_name{});
}

void read_client_tls(section& in, tls::client_files& out)
{
    in.unset("ca", out.ca, file_path{});
    in.unset("cert", out.cert, file_path{});
    in.unset("key", out.key, file_path{});
    in.unset("server_name", out.server_name, host_name{});
}

void read_host_pool(section& in, host_pool& out)
{
    in.required("host", out.host, host_pattern{});
    in.required("pool", out.pool, label_name{});
}

void read_listener(section& in, listener& out)
{
    in.required("name", out.name, label_name{});
    in.required("address", out.address, listen_address);
    in.optional("protocol", out.protocol, protocols);
    in.required("pool", out.pool, label_name{});
    in.list("hosts", out.hosts, read_host_pool, false);
    in.labels("require", out.require);
    in.optional("idle_timeout", out.idle_timeout, time_span{100ms, 720h});
    in.optional("max_connections", out.max_connections, whole_number{1, 1'000'000});
    in.optional("proxy_protocol", out.proxy_protocol, proxy_protocols);
    in.values("proxy_from", out.proxy_from, network{});
    in.values("allow_from", out.allow_from, network{});
    in.map("tls", out.tls, read_server_tls);
}

void read_worker(section& in, worker& out)
{
    in.required("name", out.name, label_name{});
    in.required("address", out.address, worker_address);
    in.optional("weight", out.weight.value, whole_number{1, 1000});
    in.optional("max_builds", out.max_builds, whole_number{0, 10'000});
    in.labels("labels", out.labels);
}

void read_discovery(section& in, discovery& out)
{
    in.required("dns", out.dns, dns_address);
    in.optional("interval", out.interval, time_span{100ms, 24h});
    in.optional("max_builds", out.max_builds, whole_number{0, 10'000});
}

void read_health_check(section& in, health_check& out)
{
    in.optional("type", out.type, probe_types);
    in.optional("interval", out.interval, time_span{100ms, 1h});
    in.optional("timeout", out.timeout, time_span{10ms, 10min});
    in.optional("unhealthy_after", out.unhealthy_after, whole_number{1, 100});
    in.optional("healthy_after", out.healthy_after, whole_number{1, 100});
}

void read_outlier_detection(section& in, outlier_detection& out)
{
    in.optional("consecutive_failures", out.consecutive_failures, whole_number{0, 1000});
    in.optional("ejection_time", out.ejection_time, time_span{100ms, 24h});
    in.optional("max_ejection_time", out.max_ejection_time, time_span{100ms, 24h});
    in.optional("max_ejected", out.max_ejected, percentage{});
}

void read_affinity(section& in, affinity& out)
{
    in.values("keys", out.keys, affinity_key{});
    in.optional("load_factor", out.load_factor, decimal_number{1, 100});
    in.optional("spill_after", out.spill_after, whole_number{1, 10'000});
    in.optional("memory", out.memory, whole_number{0, 10'000'000});
    in.optional("warmth_ttl", out.warmth_ttl, time_span{1s, 8760h});
}

void read_queue(section& in, queue& out)
{
    in.optional("max_length", out.max_length, whole_number{0, 1'000'000});
    in.optional("timeout", out.timeout, time_span{100ms, 168h});
    in.optional("when_empty", out.when_empty, when_empties);
}

void read_failover(section& in, failover& out)
{
    in.optional("attempts", out.attempts, whole_number{0, 10});
    in.optional("record", out.record, byte_size{64_KiB, 1'048'576_KiB});
    in.optional("liveness", out.liveness, time_span{0ms, 1h});
}

void read_pool(section& in, pool& out)
{
    in.required("name", out.name, label_name{});
    in.optional("policy", out.policy, policies);
    in.optional("connect_timeout", out.connect_timeout, time_span{10ms, 10min});
    in.list("workers", out.workers, read_worker, false);
    in.map("discovery", out.discovery, read_discovery);
    in.map("health_check", out.health_check, read_health_check);
    in.map("outlier_detection", out.outlier_detection, read_outlier_detection);
    in.optional("slow_start", out.slow_start, time_span{0ms, 24h});
    in.map("affinity", out.affinity, read_affinity);
    in.map("queue", out.queue, read_queue);
    in.map("failover", out.failover, read_failover);
    in.optional("platform_routing", out.platform_routing, boolean{});
    in.optional("default_platform", out.default_platform, platform_name{});
    in.optional("send_proxy", out.send_proxy, send_proxies);
    in.map("tls", out.tls, read_client_tls);
}

void read_admin(section& in, admin& out)
{
    in.optional("address", out.address, listen_address);
    in.unset("token_file", out.token_file, file_path{});
    in.values("hosts", out.hosts, host_pattern{});
}

void read_limits(section& in, limits& out)
{
    in.optional("memory", out.memory, memory_bound{16'384_KiB, 1'073'741'824_KiB});
    in.optional("streams_per_connection", out.streams_per_connection, whole_number{1, 1'000'000});
    in.optional("connection_memory", out.connection_memory, byte_size{1024_KiB, 16'777'216_KiB});
    in.optional("header_list", out.header_list, byte_size{64_KiB, 16'384_KiB});
    in.optional("message_size", out.message_size, byte_size{64_KiB, 1'048'576_KiB});
    in.optional("hold_time", out.hold_time, time_span{100ms, 10min});
    in.optional("held_calls", out.held_calls, whole_number{1, 10'000'000});
    in.optional("held_bytes", out.held_bytes, byte_size{1024_KiB, 67'108'864_KiB});
    in.optional("held_calls_per_client", out.held_calls_per_client, whole_number{1, 1'000'000});
    in.optional("queued_builds_per_client", out.queued_builds_per_client, whole_number{1, 1'000'000});
    in.optional("sessions_per_client", out.sessions_per_client, whole_number{1, 1'000'000});
    in.optional("internal_builds_per_client", out.internal_builds_per_client, whole_number{1, 1'000'000});
    in.optional("internal_builds_per_worker", out.internal_builds_per_worker, whole_number{1, 1'000'000});
    in.optional("remembered_builds", out.remembered_builds, whole_number{0, 10'000'000});
    in.optional("recent_builds", out.recent_builds, whole_number{0, 100'000});
    in.optional("handshake_timeout", out.handshake_timeout, time_span{100ms, 10min});
    in.optional("pool_call_timeout", out.pool_call_timeout, time_span{100ms, 10min});
    in.optional("continuations", out.continuations, whole_number{8, 100'000});
    in.optional("unread_acks", out.unread_acks, whole_number{10, 1'000'000});
    constexpr whole_number rate{1, 10'000'000};
    in.optional("resets_per_second", out.resets_per_second, rate);
    in.optional("pings_per_second", out.pings_per_second, rate);
    in.optional("settings_per_second", out.settings_per_second, rate);
    in.optional("window_updates_per_second", out.window_updates_per_second, rate);
    in.optional("priorities_per_second", out.priorities_per_second, rate);
    in.optional("empty_frames_per_second", out.empty_frames_per_second, rate);
    in.optional("burst_time", out.burst_time, time_span{1s, 1h});
}

void read_state(section& in, state& out)
{
    in.optional("file", out.file, state_path{});
    in.optional("interval", out.interval, time_span{100ms, 24h});
}

void read_log(section& in, log_settings& out)
{
    in.optional("level", out.level, levels);
    in.optional("format", out.format, formats);
}

void read_shutdown(section& in, root& out)
{
    in.optional("grace", out.shutdown_grace, time_span{0ms, 168h});
}

}  // namespace

void read_root(section& in, root& out)
{
    in.optional("threads", out.threads, automatic_or_number{256});
    in.unset("user", out.user, user_and_group{});
    in.list("listeners", out.listeners, read_listener);
    in.list("pools", out.pools, read_pool);
    in.map("admin", out.admin, read_admin);
    in.map("limits", out.limits, read_limits);
    in.map("state", out.state, read_state);
    in.map("log", out.log, read_log);
    in.optional("progress", out.progress, boolean{});
    in.map("shutdown", out, read_shutdown);
}

}  // namespace buildkit_lb::config
