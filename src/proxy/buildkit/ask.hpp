#pragma once

#include <boost/asio/awaitable.hpp>
#include <functional>
#include <optional>
#include <string>

#include "buildkit/pool_answers.hpp"
#include "http2/header_list.hpp"
#include "proxy/buildkit/build_attempts.hpp"

namespace buildkit_lb::proxy {

/// How often a worker is asked that says it does not know the build, whose Solve it was sent before. It waits for that,
/// but when it has stood still for so long (a paused machine), it gives up waiting in the moment in which it goes on.
inline constexpr int unknown_build_attempts = 4;

/// What a worker said to a request of one answer.
struct unary_answer {
    std::optional<std::string> message;
    buildkit::grpc_ending ending;
};

/// Asks the worker of an attempt. nullopt: the attempt is lost (and the build knows), or `given_up` is true; what the
/// worker may have said is worth nothing. Once the build is over, a loss is answered as an error.
///
/// CANCELED is not believed at once: a worker that is told to stop may cancel everything, and then Solve tells.
/// `given_up` (may be empty) is asked whenever the watch wakes up.
///
/// A worker that does not know the build although it was sent Solve is asked again (`unknown_build_attempts`).
boost::asio::awaitable<std::optional<unary_answer>> ask(attempt_watch& watch, attempt_ptr on,
                                                        http2::header_list headers, std::string request,
                                                        std::function<bool()> given_up = {});

/// The attempt's link, made anew if it takes no more calls: its worker has said GOAWAY. False: that can't be had, and
/// the attempt is lost, since its build has more to say.
boost::asio::awaitable<bool> reach(build_attempts& build, attempt_ptr on);

/// An answer for a call whose worker is lost and whose build is over or can't start again.
buildkit::grpc_ending lost_ending(const balancer::worker& where, const std::string& detail);

}  // namespace buildkit_lb::proxy
