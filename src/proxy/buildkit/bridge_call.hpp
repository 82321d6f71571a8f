#pragma once

#include <boost/asio/awaitable.hpp>
#include <memory>
#include <string>
#include <vector>

#include "buildkit/methods.hpp"
#include "proxy/buildkit/build_attempts.hpp"
#include "proxy/buildkit/flows.hpp"

namespace buildkit_lb::proxy {

/// The calls of LLBBridge that can be sent again: one request, one answer.
constexpr bool is_repeatable(buildkit::method kind)
{
    using buildkit::method;
    return kind == method::llb_ping || kind == method::llb_solve || kind == method::llb_return ||
           kind == method::llb_ref || kind == method::llb_question;
}

/// Runs a call of LLBBridge on whichever worker its build is, as often as that takes, and answers it once: when the
/// worker of the moment has answered it whole. `sessions` are offered to that worker before: those that a
/// LLBBridge/Solve names.
boost::asio::awaitable<void> run_bridge_call(call_ptr c, std::shared_ptr<build_attempts> build,
                                             std::vector<std::string> sessions);

}  // namespace buildkit_lb::proxy
