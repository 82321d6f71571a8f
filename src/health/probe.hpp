#pragma once

#include <boost/asio/awaitable.hpp>
#include <functional>

#include "balancer/worker.hpp"
#include "config/config.hpp"
#include "core/types.hpp"
#include "health/probe_result.hpp"
#include "tls/context.hpp"

namespace buildkit_lb::health {

/// One way to find out whether a worker works: ends within `timeout` and does not throw for what a network does.
/// Runs on the prober's executor, never twice at once for one worker; the worker outlives the probe and all it keeps.
using probe = std::function<boost::asio::awaitable<probe_result>(const balancer::worker&, duration timeout)>;

/// Connects to the worker and closes the connection again.
probe tcp_probe();

/// Asks a buildkitd through its own API who it is and what it can do, on one connection that it keeps: see
/// buildkit_probe.cpp. Its reports carry facts. Destroy it when no probe runs.
probe buildkit_probe(std::shared_ptr<const tls::client_context> tls = {});

/// Asks the standard health service (grpc.health.v1) whether the worker serves, on one connection that it keeps: see
/// grpc_probe.cpp. Destroy it when no probe runs.
probe grpc_probe(std::shared_ptr<const tls::client_context> tls = {});

/// The probe of `health_check.type`; null for `off`. `tls`: what workers are connected to with; null: in the clear.
probe make_probe(config::probe_type type, std::shared_ptr<const tls::client_context> tls = {});

}  // namespace buildkit_lb::health
