#include "balancer/open_workers.hpp"

#include <algorithm>

#include "balancer/obstacle.hpp"

namespace buildkit_lb::balancer {

void open_workers::fill(std::vector<std::uint32_t>& limits, const pool_snapshot& snapshot,
                        const pick_context& context) const
{
    if (fill_once(limits, snapshot, context)) {
        pick_context panic = context;
        panic.include_ejected = true;
        fill_once(limits, snapshot, panic);
    }
}

bool open_workers::fill_once(std::vector<std::uint32_t>& limits, const pool_snapshot& snapshot,
                             const pick_context& context) const
{
    const fitting_workers fitting{snapshot, context.needs, platforms_};
    limits.clear();
    // A build rather waits for a worker of its platform than runs emulated at a tenth of the speed: full ones count.
    fitness best = fitness::none;
    bool some_ejected = false;
    for (const auto& view : snapshot.workers) {
        const obstacle standing = find_standing_obstacle(view, context);
        some_ejected = some_ejected || standing == obstacle::ejected;
        const fitness fits = standing == obstacle::none ? fitting.of(view) : fitness::none;
        if (fits > best) {
            best = fits;
            std::fill(limits.begin(), limits.end(), 0);
        }
        limits.push_back(fits != fitness::none && fits == best ? find_limit(*view.worker, context) : 0);
    }
    return best == fitness::none && some_ejected;
}

std::span<const std::uint32_t> open_workers::limits(const std::shared_ptr<const pool_snapshot>& snapshot,
                                                    const pick_context& context)
{
    if (!context.excluded.empty() || !context.lost.empty() || context.include_down || context.include_ejected ||
        context.over_cap) {
        fill(other_, *snapshot, context);
        return other_;
    }
    if (kept_for_ != snapshot) {
        kept_.clear();
        kept_for_ = snapshot;
    }
    const auto found = std::find_if(kept_.begin(), kept_.end(), [&](const kept& one) {
        return one.kind == context.kind && one.needs == context.needs;
    });
    if (found != kept_.end()) {
        return found->limits;
    }
    if (kept_.size() == max_kept) {
        kept_.erase(kept_.begin());
    }
    kept& made = kept_.emplace_back(kept{context.kind, context.needs, {}});
    fill(made.limits, *snapshot, context);
    return made.limits;
}

}  // namespace buildkit_lb::balancer
