// The members of pool that have to do with workers that are about to stop and say so.

#include <algorithm>
#include <utility>

#include "balancer/pool.hpp"

namespace buildkit_lb::balancer {

bool pool::report_goaway(const worker& w)
{
    goaway_observer observer;
    {
        const std::lock_guard lock{mutex_};
        observer = goaway_observer_;
    }
    if (!observer) {
        return false;
    }
    const bool changed = set_going_away(w, true);
    if (changed) {
        observer(w);
    }
    return changed;
}

bool pool::clear_goaway(const worker& w)
{
    return set_going_away(w, false);
}

bool pool::set_going_away(const worker& w, bool going_away)
{
    bool changed = false;
    update(w, [&](worker_view& view) { changed = std::exchange(view.going_away, going_away) != going_away; });
    return changed;
}

void pool::observe_goaways(goaway_observer observer)
{
    {
        const std::lock_guard lock{mutex_};
        goaway_observer_ = std::move(observer);
        if (goaway_observer_) {
            return;
        }
        auto next = std::make_shared<pool_snapshot>(*snapshot_);
        for (auto& view : next->workers) {
            change_view(view, [](worker_view& v) { v.going_away = false; });
        }
        snapshot_ = std::move(next);
    }
    serve_queue();
}

}  // namespace buildkit_lb::balancer
