#pragma once

#include <boost/asio/awaitable.hpp>
#include <string>
#include <vector>

#include "proxy/buildkit/place.hpp"

namespace buildkit_lb::proxy {

/// Runs a build that has been placed to its end, which is returned: on the worker behind `to`, and when that is lost,
/// on another one, as the rules allow (balancer/failover.hpp). The new worker is told what the client has told the old
/// one, and nothing of the old one reaches the client any more. `sessions` are those that Solve names. Answers Solve.
/// Cancelled when the client takes Solve back; then other calls of the build may go on.
boost::asio::awaitable<call::ending> run_attempts(call_ptr solve, running_build& build,
                                                  std::vector<std::string> sessions, link_table::link_ptr to);

}  // namespace buildkit_lb::proxy
