#pragma once

#include <boost/asio/awaitable.hpp>
#include <memory>

#include "proxy/buildkit/call.hpp"

/// What becomes of a call, one straight line for each kind. A flow runs on its call's thread, holds the call until it
/// knows where it goes, and is cancelled when the client goes away before that.
namespace buildkit_lb::proxy {

using call_ptr = std::shared_ptr<call>;

/// Control/Solve: places the build, and stays until it has ended (flows_solve.cpp).
boost::asio::awaitable<void> flow_solve(call_ptr c);

/// Control/Status: to the worker of its build, and read on the way back.
boost::asio::awaitable<void> flow_status(call_ptr c);

/// LLBBridge calls: to the worker of their build. Ping is answered here while the build has none.
boost::asio::awaitable<void> flow_bridge(call_ptr c);

/// ListenBuildHistory and UpdateBuildHistory: to the worker that ran the build they name.
boost::asio::awaitable<void> flow_history(call_ptr c);

/// Content reads: to the worker that has the digest.
boost::asio::awaitable<void> flow_content(call_ptr c);

/// Anything else: to one worker, the same for the whole connection.
boost::asio::awaitable<void> flow_any(call_ptr c);

}  // namespace buildkit_lb::proxy
