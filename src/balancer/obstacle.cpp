#include "balancer/obstacle.hpp"

#include <algorithm>
#include <limits>

namespace buildkit_lb::balancer {

obstacle find_standing_obstacle(const worker_view& view, const pick_context& context)
{
    const auto& w = view.worker;
    if (std::find(context.excluded.begin(), context.excluded.end(), w) != context.excluded.end()) {
        return obstacle::tried;
    }
    if (std::find(context.lost.begin(), context.lost.end(), w) != context.lost.end()) {
        return obstacle::lost;
    }
    if (view.leaving) {
        return obstacle::leaving;
    }
    if (view.draining) {
        return obstacle::draining;
    }
    if (view.health == worker_health::down && !context.include_down) {
        return obstacle::down;
    }
    if (view.going_away) {
        return obstacle::going_away;
    }
    if (view.ejected && !context.include_ejected) {
        return obstacle::ejected;
    }
    return obstacle::none;
}

bool is_going_away(const pool_snapshot& in, const worker& w)
{
    return std::any_of(in.workers.begin(), in.workers.end(),
                       [&](const worker_view& view) { return view.worker.get() == &w && view.going_away; });
}

std::uint32_t find_limit(const worker& w, const pick_context& context)
{
    if (context.kind == build_kind::internal) {
        return w.max_internal_builds();
    }
    return context.over_cap || w.max_builds() == 0 ? std::numeric_limits<std::uint32_t>::max() : w.max_builds();
}

obstacle find_obstacle(const worker_view& view, const pick_context& context)
{
    const obstacle standing = find_standing_obstacle(view, context);
    if (standing != obstacle::none) {
        return standing;
    }
    const auto& w = *view.worker;
    const auto builds = context.kind == build_kind::internal ? w.internal_builds() : w.active_builds();
    return builds < find_limit(w, context) ? obstacle::none : obstacle::full;
}

std::string describe(obstacle what, const worker_view& view)
{
    const auto& w = *view.worker;
    switch (what) {
        case obstacle::tried: return "could not be connected to";
        case obstacle::lost: return "has lost this build";
        case obstacle::leaving: return "leaving the pool";
        case obstacle::draining: return "draining";
        case obstacle::down: return view.last_error.empty() ? "down" : "down: " + view.last_error;
        case obstacle::going_away: return "going away: it has said GOAWAY";
        case obstacle::ejected: return "ejected: " + view.ejected_for;
        case obstacle::full:
            return w.max_builds() != 0 && w.active_builds() >= w.max_builds()
                       ? "at its cap of " + std::to_string(w.max_builds()) + " builds"
                       : "at its cap of " + std::to_string(w.max_internal_builds()) + " internal builds";
        case obstacle::none: break;
    }
    return "free again";
}

std::string list_obstacles(const pool_snapshot& of, const pick_context& context, const platform_settings& platforms)
{
    const fitting_workers fitting{of, context.needs, platforms};
    std::string text;
    for (const auto& view : of.workers) {
        const bool fits = fitting.of(view) != fitness::none;
        text += (text.empty() ? "" : "; ") + view.worker->name() + " " +
                (fits ? describe(find_obstacle(view, context), view) : fitting.misfit(view));
    }
    return text.empty() ? "it has no workers" : text;
}

}  // namespace buildkit_lb::balancer
