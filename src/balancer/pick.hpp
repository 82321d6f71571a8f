#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "balancer/lease.hpp"
#include "balancer/requirements.hpp"
#include "core/types.hpp"

namespace buildkit_lb::balancer {

/// What a pick needs to know of the build it is for.
struct pick_context {
    /// Workers that were tried for this build and failed.
    std::vector<std::shared_ptr<worker>> excluded;
    /// Workers that this build was lost with: it does not go there again, however they fare since.
    std::vector<std::shared_ptr<worker>> lost;
    /// Consider workers that are down too: the last resort of `protocol: tcp`, where a probe may know less than a try.
    bool include_down = false;
    /// Consider workers that are ejected too.
    bool include_ejected = false;
    /// Consider workers that are at their cap too.
    bool over_cap = false;
    /// How the build is counted. Internal builds may go to a worker that is at its cap.
    build_kind kind = build_kind::ordinary;
    /// What the build shares with others of its project; empty: nothing.
    std::string key;
    /// What a worker must have.
    requirements needs;
    time_point now;
};

/// The reason of a pick for a build that others wait for (see stall_rule.hpp).
inline constexpr std::string_view over_cap_reason = "over-cap";

/// The outcome of a pick: the worker, counted from this moment on, and why it was chosen.
struct pick {
    lease held;
    std::string_view policy;
    std::string_view reason;

    const std::shared_ptr<balancer::worker>& worker() const { return held.where(); }
};

}  // namespace buildkit_lb::balancer
