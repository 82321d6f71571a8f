#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "balancer/pool_snapshot.hpp"
#include "core/types.hpp"
#include "health/probe_result.hpp"

namespace buildkit_lb::health {

/// A worker went up or down.
struct transition {
    balancer::worker_health to = balancer::worker_health::unknown;
    std::string reason;              ///< why it went down; empty when it went up
    std::optional<duration> lasted;  ///< how long it was in the state before; nullopt after `unknown`
};

/// Decides from probes and from real traffic whether one worker is up. Pure: it is told the time. Owned by the prober
/// and used on its thread.
///
/// The first probe decides at once. After that `unhealthy_after` failures in a row take the worker down and
/// `healthy_after` passes in a row bring it back. A failed connection of real traffic takes it down at once.
class health_tracker {
public:
    struct thresholds {
        std::uint32_t unhealthy_after = 3;
        std::uint32_t healthy_after = 2;
    };

    explicit health_tracker(thresholds limits) : limits_{limits} {}

    /// A probe has ended. The transition it caused, if it did.
    std::optional<transition> observe(const probe_result& found, time_point now);

    /// A connection of real traffic could not be made.
    std::optional<transition> observe_connect_failure(const failure& why, time_point now);

    balancer::worker_health health() const { return health_; }
    /// The latest failure while down; empty while not.
    const std::string& last_error() const { return last_error_; }

private:
    std::optional<transition> become(balancer::worker_health next, time_point now);

    thresholds limits_;
    balancer::worker_health health_ = balancer::worker_health::unknown;
    time_point since_{};
    std::uint32_t passes_ = 0;    // in a row
    std::uint32_t failures_ = 0;  // in a row
    std::string last_error_;
};

}  // namespace buildkit_lb::health
