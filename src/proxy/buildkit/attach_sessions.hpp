#pragma once

#include <boost/asio/awaitable.hpp>
#include <memory>
#include <string>
#include <vector>

#include "balancer/worker.hpp"
#include "buildkit/grpc_status.hpp"
#include "core/failure.hpp"

namespace buildkit_lb::proxy {

class buildkit_connection;

/// Offers `sessions` to the worker, wherever they live, and returns when it has them all: a build that names a session
/// its worker does not have takes another one's files. Fails when one does not come within a few seconds, or has ended
/// (not retryable), and when the worker does not take one (retryable: another may).
boost::asio::awaitable<result<void>> attach_sessions(buildkit_connection& connection, std::vector<std::string> sessions,
                                                     std::shared_ptr<balancer::worker> where);

/// The gRPC status with which the balancer ends calls for a failure of its own.
buildkit::grpc_code grpc_code_of(const failure& why);

}  // namespace buildkit_lb::proxy
