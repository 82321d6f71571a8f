#pragma once

#include <boost/asio/awaitable.hpp>
#include <functional>
#include <optional>
#include <string>

#include "balancer/placement.hpp"
#include "core/event.hpp"
#include "proxy/buildkit/client_limits.hpp"
#include "proxy/buildkit/flows.hpp"

namespace buildkit_lb::proxy {

/// A call's wait for its build to be placed, taken back when its flow is cancelled. Lives on the call's thread.
class build_wait {
public:
    build_wait(call& of, const std::string& ref);
    build_wait(const build_wait&) = delete;
    build_wait& operator=(const build_wait&) = delete;
    ~build_wait() { placement_.cancel_wait(id_); }

    /// What became of the build; nullopt at `deadline`.
    boost::asio::awaitable<std::optional<balancer::placement::outcome>> wait(time_point deadline = time_point::max());

    /// For others that may know what became of it: the first to say so is believed.
    std::function<void(balancer::placement::outcome)> setter() const { return outcome_.setter(); }

private:
    balancer::placement& placement_;
    one_shot<balancer::placement::outcome> outcome_;
    balancer::placement::wait_id id_ = balancer::placement::no_wait;
    std::optional<counted_in> held_;  // while it waits
};

/// Relays the call to `where`, or fails it.
boost::asio::awaitable<void> relay_to_worker(call_ptr c, std::shared_ptr<balancer::worker> where);

/// Relays the call as the build's whereabouts ask for, or ends it as the build was ended. A build that nobody knows is
/// looked for on any worker, which answers as a single BuildKit would.
boost::asio::awaitable<void> relay_by(call_ptr c, balancer::placement::outcome where);

}  // namespace buildkit_lb::proxy
