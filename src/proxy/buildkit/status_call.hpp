#pragma once

#include <boost/asio/awaitable.hpp>
#include <memory>
#include <string>

#include "proxy/buildkit/build_attempts.hpp"
#include "proxy/buildkit/flows.hpp"
#include "proxy/buildkit/own_lines.hpp"

namespace buildkit_lb::proxy {

/// Runs a Status of a build that may start again: passes on what the worker of the moment tells, message by message,
/// and with each other worker goes on in the same answer. The end comes when Solve has been answered for good.
boost::asio::awaitable<void> run_status_call(call_ptr c, std::string message, std::shared_ptr<build_attempts> build,
                                             own_lines& lines);

}  // namespace buildkit_lb::proxy
