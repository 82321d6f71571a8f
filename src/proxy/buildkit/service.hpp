#pragma once

#include <atomic>
#include <string>

#include "balancer/placement.hpp"
#include "http2/options.hpp"
#include "metrics/instruments.hpp"
#include "proxy/buildkit/build_record.hpp"
#include "proxy/buildkit/digest_memory.hpp"
#include "proxy/buildkit/pong_memory.hpp"
#include "proxy/buildkit/session_directory.hpp"
#include "proxy/upstream_connect.hpp"

namespace buildkit_lb::proxy {

/// What all buildkit connections of a pool share, on whichever thread they are. Outlives them.
struct buildkit_pool {
    buildkit_pool(upstream_pool& p, const balancer::placement_limits& limits) : pool{p}, placement{limits} {}

    upstream_pool& pool;
    balancer::placement placement;
    session_directory sessions;
    build_registry builds;
    pong_memory pongs;
    digest_memory digests{100'000};
    std::atomic<std::size_t> calls{0};  // that have not ended
};

/// What every connection of one `protocol: buildkit` listener needs. Outlives them.
struct buildkit_service {
    std::string listener;  ///< its name
    buildkit_pool& shared;
    metrics::instruments& instruments;
    metrics::listener_metrics& metrics;
    duration idle_timeout;
    bool progress = true;
    http2::options http2;  ///< of every HTTP/2 connection, also inside tunnels
};

}  // namespace buildkit_lb::proxy
