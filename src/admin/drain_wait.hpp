#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

#include "core/types.hpp"

namespace buildkit_lb::admin {

/// A worker under one name in one pool, as a wait for its last build sees it at one moment.
struct drain_sight {
    bool draining = false;  ///< takes no new builds; also when it has left its pool
    std::uint32_t active_builds = 0;
    std::uint32_t internal_builds = 0;
};

/// How a wait ended.
enum class drain_end : std::uint8_t { drained, undrained, timed_out };

/// Decides when a worker is drained: no build is on it, neither the users' nor the clients' internal ones (whoever cuts
/// one of those fails its client as well), and none was for a short while. What a client asks of the worker right after
/// its build (the last messages of Status, the provenance) would be lost if the worker were stopped in that very
/// moment.
///
/// Pure; owned by the request that waits.
class drain_wait {
public:
    static constexpr duration default_settle = std::chrono::seconds{1};

    explicit drain_wait(time_point deadline, duration settle = default_settle) : deadline_{deadline}, settle_{settle} {}

    /// The worker in each pool that has it, now. nullopt: look again soon.
    std::optional<drain_end> look(const std::vector<drain_sight>& at, time_point now);

private:
    const time_point deadline_;
    const duration settle_;
    std::optional<time_point> idle_since_;
};

}  // namespace buildkit_lb::admin
