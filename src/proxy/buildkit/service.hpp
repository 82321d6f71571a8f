#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "balancer/failover.hpp"
#include "balancer/placement.hpp"
#include "balancer/stall_rule.hpp"
#include "buildkit/affinity_key.hpp"
#include "http2/options.hpp"
#include "metrics/instruments.hpp"
#include "proxy/buildkit/build_record.hpp"
#include "proxy/buildkit/client_limits.hpp"
#include "proxy/buildkit/digest_memory.hpp"
#include "proxy/buildkit/pong_memory.hpp"
#include "proxy/buildkit/session_directory.hpp"
#include "proxy/buildkit/worker_memory.hpp"
#include "proxy/host_routes.hpp"
#include "proxy/upstream_connect.hpp"

namespace buildkit_lb::proxy {

/// What all buildkit connections of a pool share, on whichever thread they are. Outlives them.
struct buildkit_pool {
    buildkit_pool(upstream_pool& p, const balancer::placement_limits& limits,
                  balancer::stall_rule::patience stall_patience = {})
        : pool{p},
          placement{limits},
          digests{limits.remembered_builds},
          refs{limits.remembered_builds},
          traces{limits.remembered_builds},
          stalls{stall_patience}
    {
    }

    upstream_pool& pool;
    balancer::placement placement;
    session_directory sessions;
    build_registry builds;
    pong_memory pongs;
    digest_memory digests;
    worker_memory refs;  // builds seen in histories: placement knows those that ran through here
    trace_memory traces;
    std::atomic<std::size_t> calls{0};           // that have not ended
    std::atomic<std::size_t> recorded_bytes{0};  // of builds, to repeat them
    std::atomic<std::uint64_t> connections{0};   // numbers given out
    balancer::stall_rule stalls;                 // of the thread that calls sweep()

    /// Ends waits that have lasted too long, and lets builds over the cap that others wait for. Call it every second or
    /// so, on one thread.
    void sweep(time_point now);
};

/// What every connection of one `protocol: buildkit` listener needs. Outlives them.
struct buildkit_service {
    std::string listener;  ///< its name
    buildkit_pool& shared;
    metrics::instruments& instruments;
    metrics::listener_metrics& metrics;
    duration idle_timeout;
    bool progress = true;
    client_limits per_client = {};
    http2::options http2;                                   ///< of every HTTP/2 connection, also inside tunnels
    duration pool_call_timeout = std::chrono::seconds{10};  ///< how long a worker may be silent when all are asked
    std::vector<std::string> key_sources = buildkit::default_key_sources();  ///< `affinity.keys`
    bool routes_by_key = false;  ///< the policy looks at keys: one that needs a definition is worth a wait
    duration handshake_timeout = std::chrono::seconds{10};  ///< how long the first SETTINGS may take
    balancer::failover_settings failover = {};
    label_map require = {};  ///< what workers must have for builds of this listener

    /// In the order of the configuration.
    std::vector<host_route<buildkit_service>> hosts = {};

    /// The service for a client that dialled `host`, in lower case and without its port; maybe this one.
    buildkit_service& for_host(std::string_view host) { return find_by_host(hosts, host, *this); }
};

}  // namespace buildkit_lb::proxy
