#pragma once

#include <boost/asio/awaitable.hpp>

#include "buildkit/solve_info.hpp"
#include "proxy/buildkit/call.hpp"
#include "proxy/buildkit/place.hpp"

namespace buildkit_lb::proxy {

/// Finds the affinity key of a build that has begun, and enters it in its record. The calls of a build come in any
/// order: a key that stands in its session's headers, or in the LLBBridge/Solve of a definition without a frontend, is
/// waited for, one second at most. On the thread of the call's connection.
boost::asio::awaitable<void> find_key(call& solve, buildkit::solve_info& info, running_build& build);

}  // namespace buildkit_lb::proxy
