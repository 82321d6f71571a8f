#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/endpoint.hpp"
#include "core/ip_address.hpp"
#include "core/labels.hpp"
#include "core/log.hpp"
#include "core/types.hpp"
#include "tls/files.hpp"

/// The checked configuration: what load() makes of a YAML file. Immutable after loading and shared between threads.
/// The defaults written here are the defaults of the file; docs/configuration.md documents every key for users.
namespace buildkit_lb::config {

using std::chrono::milliseconds;
using namespace std::chrono_literals;

enum class protocol : std::uint8_t { buildkit, tcp };
enum class proxy_protocol : std::uint8_t { off, v1v2 };
enum class send_proxy : std::uint8_t { off, v1, v2 };
enum class policy : std::uint8_t { round_robin, least_active_builds, cache_affinity };
enum class probe_type : std::uint8_t { buildkit, grpc, tcp, off };
enum class when_empty : std::uint8_t { fail, wait };

/// Clients that dial this name get another pool than the listener's.
struct host_pool {
    std::string host;  ///< in lower case; `*.example.test` stands for every name below
    std::string pool;  ///< the name of one of root::pools
};

struct listener {
    std::string name;  ///< unique
    endpoint address;
    config::protocol protocol = config::protocol::buildkit;
    std::string pool;  ///< the name of one of root::pools
    std::vector<host_pool> hosts;
    label_map require;  ///< builds go to workers that have these labels
    milliseconds idle_timeout = 3600s;
    std::uint32_t max_connections = 10000;
    config::proxy_protocol proxy_protocol = config::proxy_protocol::off;
    std::vector<ip_network> proxy_from;    ///< who may connect, with a PROXY header
    std::vector<ip_network> allow_from;    ///< which clients may come; empty: all
    std::optional<tls::server_files> tls;  ///< nullopt: in the clear
};

struct worker {
    std::string name;  ///< unique in its pool
    endpoint address;
    worker_weight weight{1};
    std::uint32_t max_builds = 0;  ///< 0: no cap
    label_map labels;
};

/// Every address that a DNS name has is a worker.
struct discovery {
    endpoint dns;
    milliseconds interval = 10s;
    std::uint32_t max_builds = 0;  ///< of each worker found; 0: no cap

    bool operator==(const discovery&) const = default;
};

struct health_check {
    probe_type type = probe_type::buildkit;
    milliseconds interval = 5s;
    milliseconds timeout = 2s;
    std::uint32_t unhealthy_after = 3;  ///< failed probes in a row
    std::uint32_t healthy_after = 2;    ///< passed probes in a row

    bool operator==(const health_check&) const = default;
};

struct outlier_detection {
    std::uint32_t consecutive_failures = 3;  ///< 0: off
    milliseconds ejection_time = 30s;        ///< of the first ejection of a worker; the next ones are longer
    milliseconds max_ejection_time = 300s;
    std::uint32_t max_ejected = 50;  ///< percent of the pool
};

struct affinity {
    std::vector<std::string> keys = {"build-arg:BUILDKIT_LB_KEY", "vcs:source", "context", "shared-key"};
    double load_factor = 1.25;
    std::uint32_t spill_after = 4;
    std::uint32_t memory = 100000;   ///< keys remembered
    milliseconds warmth_ttl = 168h;  ///< a build keeps its worker warm for so long

    bool operator==(const affinity&) const = default;
};

struct queue {
    std::uint32_t max_length = 1000;
    milliseconds timeout = 600s;
    config::when_empty when_empty = config::when_empty::fail;
};

struct failover {
    std::uint32_t attempts = 2;      ///< how often a build may start again on another worker; 0: off
    byte_count record{16ULL << 20};  ///< kept of a build to repeat it
    milliseconds liveness = 30s;     ///< a worker with builds that is silent for so long is lost; 0s: never
};

struct pool {
    std::string name;  ///< unique
    config::policy policy = config::policy::cache_affinity;
    milliseconds connect_timeout = 10s;
    std::vector<worker> workers;  ///< at least one, unless there is discovery
    std::optional<config::discovery> discovery;
    config::health_check health_check;
    config::outlier_detection outlier_detection;
    milliseconds slow_start = 0s;
    config::affinity affinity;
    config::queue queue;
    config::failover failover;
    bool platform_routing = true;
    std::string default_platform = "auto";
    config::send_proxy send_proxy = config::send_proxy::off;
    std::optional<tls::client_files> tls;  ///< nullopt: in the clear
};

struct admin {
    endpoint address{.type = endpoint::kind::tcp, .host = "127.0.0.1", .port = 9090, .path = {}};
    std::string token_file;          ///< empty: none
    std::string token;               ///< what it holds, when load() read it
    std::vector<std::string> hosts;  ///< names by which it may be called; `*.` as in host_pool
};

/// What clients can make the balancer hold.
struct limits {
    std::optional<byte_count> memory;  ///< resident, of the process; nullopt: derived (`auto`), 0: no bound (`off`)
    std::uint32_t streams_per_connection = 10000;
    byte_count connection_memory{64ULL << 20};        ///< received of one connection and not passed on
    byte_count header_list{2ULL << 20};               ///< names and values of one header block; trailers too
    byte_count message_size{16ULL << 20};             ///< one message of a request that is read
    milliseconds hold_time = 6s;                      ///< a call whose build has not begun
    std::uint32_t held_calls = 10000;                 ///< of a pool
    byte_count held_bytes{256ULL << 20};              ///< of the held calls of a pool
    std::uint32_t held_calls_per_client = 2000;       ///< of one connection
    std::uint32_t queued_builds_per_client = 500;     ///< of one connection
    std::uint32_t sessions_per_client = 1000;         ///< of one connection
    std::uint32_t internal_builds_per_client = 200;   ///< running, of one connection
    std::uint32_t internal_builds_per_worker = 1000;  ///< running
    std::uint32_t remembered_builds = 100000;         ///< finished builds of a pool whose worker is still known
    std::uint32_t recent_builds = 1000;               ///< finished builds of a pool that /api/v1/builds tells
    milliseconds handshake_timeout = 10s;             ///< of TLS, and then of HTTP/2
    milliseconds pool_call_timeout = 10s;             ///< a worker's silence in a call to the whole pool
    std::uint32_t continuations = 512;                ///< CONTINUATION frames of one header block
    std::uint32_t unread_acks = 1000;                 ///< acknowledgements that wait for a peer to read
    std::uint32_t resets_per_second = 100;            ///< these: see http2::flood_limits
    std::uint32_t pings_per_second = 20;
    std::uint32_t settings_per_second = 10;
    std::uint32_t window_updates_per_second = 200;
    std::uint32_t priorities_per_second = 50;
    std::uint32_t empty_frames_per_second = 50;
    milliseconds burst_time = 20s;  ///< of the rates above, what was not used of it may be used at once
};

/// What is kept over a restart.
struct state {
    std::string file = "auto";  ///< `auto`, `off` or an absolute path
    milliseconds interval = 30s;

    bool operator==(const state&) const = default;
};

struct log_settings {
    log::level level = log::level::info;
    log::format format = log::format::text;
};

struct root {
    std::uint32_t threads = 0;  ///< 0: one per core (`auto`)
    std::vector<listener> listeners;
    std::vector<pool> pools;
    config::admin admin;
    config::limits limits;
    std::string user;  ///< `NAME` or `NAME:GROUP`, whom the process becomes; empty: nobody else
    config::state state;
    log_settings log;
    bool progress = true;
    milliseconds shutdown_grace = 3600s;
};

}  // namespace buildkit_lb::config
