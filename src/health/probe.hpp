#pragma once

#include <boost/asio/awaitable.hpp>
#include <functional>

#include "balancer/worker.hpp"
#include "config/config.hpp"
#include "core/types.hpp"
#include "health/probe_result.hpp"
#include "tls/context.hpp"

namespace buildkit_lb::health {

/// One way to find out whether a worker works, and what it keeps of that worker from one time to the next: ends within
/// `timeout` and does not throw for what a network does. Always asked of the same worker, which outlives it, on the
/// prober's executor, and never twice at once; destroyed when it does not run.
using probe = std::function<boost::asio::awaitable<probe_result>(const balancer::worker&, duration timeout)>;
/// Makes one for each worker.
using probe_maker = std::function<probe()>;

/// Connects to the worker and closes the connection again.
probe tcp_probe();

/// Asks a buildkitd through its own API who it is and what it can do, on one connection that it keeps: see
/// buildkit_probe.cpp. Its reports carry facts.
probe_maker buildkit_probes(std::shared_ptr<const tls::client_context> tls = {});

/// Asks the standard health service (grpc.health.v1) whether the worker serves, on one connection that it keeps: see
/// grpc_probe.cpp.
probe_maker grpc_probes(std::shared_ptr<const tls::client_context> tls = {});

/// The probes of `health_check.type`; null for `off`. `tls`: what workers are connected to with; null: in the clear.
probe_maker make_probes(config::probe_type type, std::shared_ptr<const tls::client_context> tls = {});

}  // namespace buildkit_lb::health
