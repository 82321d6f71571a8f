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

/// Offers `sessions` to the worker, wherever they live, and waits until it has them: a build that names a session its
/// worker does not have takes another one's files. Gives up on those that don't come within a few seconds: what is
/// missing then is for the worker to say. Returns how many the worker has.
boost::asio::awaitable<std::size_t> attach_sessions(buildkit_connection& connection, std::vector<std::string> sessions,
                                                    std::shared_ptr<balancer::worker> where);

/// The gRPC status with which the balancer ends calls for a failure of its own.
buildkit::grpc_code grpc_code_of(const failure& why);

}  // namespace buildkit_lb::proxy
