#pragma once

#include <boost/asio/awaitable.hpp>
#include <memory>
#include <string>

#include "balancer/worker.hpp"
#include "proxy/buildkit/flows.hpp"

namespace buildkit_lb::proxy {

/// ListenBuildHistory with EarlyExit for one build, whose worker is known; `message` is the request.
///
/// After a build buildx asks for its record, and then for the content of the provenance that the record names. A build
/// that has ended well is not to fail because its worker is lost before that, in between or after it. So the record is
/// told once what it names is here; if it can't be had, the answer is that of a daemon that has no such record.
boost::asio::awaitable<void> tell_of_ended_build(call_ptr c, std::shared_ptr<balancer::worker> where,
                                                 std::string message);

}  // namespace buildkit_lb::proxy
