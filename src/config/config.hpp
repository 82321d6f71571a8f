#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/endpoint.hpp"
#include "core/log.hpp"
#include "core/types.hpp"

/// The checked configuration: what load() makes of a YAML file. Immutable after loading and shared between threads.
/// The defaults written here are the defaults of the file; conf/lb.yaml documents every key for users.
namespace buildkit_lb::config {

using std::chrono::milliseconds;
using namespace std::chrono_literals;

enum class protocol : std::uint8_t { buildkit, tcp };
enum class policy : std::uint8_t { round_robin, least_active_builds, cache_affinity };
enum class probe_type : std::uint8_t { buildkit, grpc, tcp, off };
enum class when_empty : std::uint8_t { fail, wait };

struct listener {
    std::string name;
    endpoint address;
    config::protocol protocol = config::protocol::buildkit;
    std::string pool;  ///< the name of one of config::pools
    milliseconds idle_timeout = 3600s;
    std::uint32_t max_connections = 10000;
};

struct worker {
    std::string name;  ///< unique in its pool
    endpoint address;
    worker_weight weight{1};
    std::uint32_t max_builds = 0;  ///< 0: no cap
};

struct health_check {
    probe_type type = probe_type::tcp;
    milliseconds interval = 5s;
    milliseconds timeout = 2s;
    std::uint32_t unhealthy_after = 3;  ///< failed probes in a row
    std::uint32_t healthy_after = 2;    ///< passed probes in a row
};

struct pool {
    std::string name;
    config::policy policy = config::policy::cache_affinity;
    milliseconds connect_timeout = 10s;
    std::vector<worker> workers;
    config::health_check health_check;
};

struct admin {
    endpoint address;
};

struct log_settings {
    log::level level = log::level::info;
    log::format format = log::format::text;
};

struct root {
    std::uint32_t threads = 0;  ///< 0: one per core
    std::vector<listener> listeners;
    std::vector<pool> pools;
    config::admin admin;
    log_settings log;
    bool progress = true;
    milliseconds shutdown_grace = 3600s;
};

}  // namespace buildkit_lb::config
