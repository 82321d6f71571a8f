#include "admin/drain_wait.hpp"

#include <algorithm>

namespace buildkit_lb::admin {

std::optional<drain_end> drain_wait::look(const std::vector<drain_sight>& at, time_point now)
{
    if (std::any_of(at.begin(), at.end(), [](const drain_sight& s) { return !s.draining; })) {
        return drain_end::undrained;
    }
    const bool idle = std::all_of(at.begin(), at.end(),
                                  [](const drain_sight& s) { return s.active_builds == 0 && s.internal_builds == 0; });
    if (!idle) {
        idle_since_.reset();
        // Only now: builds that have ended count as ended, even if the clients' last questions don't fit into the time.
        return now >= deadline_ ? std::optional{drain_end::timed_out} : std::nullopt;
    }
    if (!idle_since_) {
        idle_since_ = now;
    }
    return now - *idle_since_ >= settle_ ? std::optional{drain_end::drained} : std::nullopt;
}

}  // namespace buildkit_lb::admin
