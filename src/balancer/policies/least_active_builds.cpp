#include "balancer/policies/least_active_builds.hpp"

#include <cstdint>

namespace buildkit_lb::balancer {

choice least_active_builds::choose(std::span<const std::shared_ptr<worker>> candidates, const pick_context&)
{
    // Starting one further at each pick is what rotates ties.
    const std::size_t start = rotation_++ % candidates.size();
    std::size_t best = start;
    for (std::size_t n = 1; n < candidates.size(); ++n) {
        const std::size_t i = (start + n) % candidates.size();
        // a/wa < b/wb without division: both weights are positive and small enough for 64 bits.
        const auto mine = std::uint64_t{candidates[i]->active_builds()} * candidates[best]->weight().value;
        const auto others = std::uint64_t{candidates[best]->active_builds()} * candidates[i]->weight().value;
        if (mine < others) {
            best = i;
        }
    }
    return {best, "least-active"};
}

}  // namespace buildkit_lb::balancer
