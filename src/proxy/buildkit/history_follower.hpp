#pragma once

#include <boost/asio/awaitable.hpp>
#include <deque>
#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

#include "buildkit/history_events.hpp"
#include "proxy/buildkit/flows.hpp"
#include "proxy/buildkit/service.hpp"

namespace buildkit_lb::proxy {

/// The headers with which daemons begin a history: the time, by which clients show how long ago something was.
http2::header_list history_headers();

/// Reads an event of `from`'s history, and remembers where its build and its content are. nullopt: malformed.
std::optional<buildkit::history_event> learn_event(buildkit_pool& pool, const std::shared_ptr<balancer::worker>& from,
                                                   std::string bytes);

/// What is gathered of a history before it is sent on, in order as far as it was gathered: bytes.
inline constexpr std::size_t max_gathered = std::size_t{32} << 20;

/// Sends the events to the client, as it takes them.
boost::asio::awaitable<void> tell_events(call_ptr c, std::vector<buildkit::history_event> events);

/// What was told already, as far as it is remembered: the oldest is forgotten first.
class told_events {
public:
    explicit told_events(std::size_t capacity) : capacity_{capacity} {}

    /// False when it was told before.
    bool add(std::uint64_t identity);

private:
    std::size_t capacity_;
    std::unordered_set<std::uint64_t> told_;
    std::deque<std::uint64_t> by_age_;
};

/// ListenBuildHistory without an end: first what is known, put together as far as workers tell it soon, then what
/// happens. Workers that are lost or stop are asked again once they are up, and tell only what was not told before.
/// Ends when the client goes away, or when every worker refuses.
boost::asio::awaitable<void> follow_history(call_ptr c, buildkit::history_request what, std::string message);

}  // namespace buildkit_lb::proxy
