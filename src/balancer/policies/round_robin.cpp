#include "balancer/policies/round_robin.hpp"

namespace buildkit_lb::balancer {

choice round_robin::choose(std::span<const std::shared_ptr<worker>> candidates, const pick_context&)
{
    std::int64_t total = 0;
    std::int64_t* best = nullptr;
    std::size_t best_index = 0;
    for (std::size_t i = 0; i < candidates.size(); ++i) {
        const std::int64_t weight = candidates[i]->weight().value;
        std::int64_t& current = current_weight_[candidates[i]->name()];
        current += weight;
        total += weight;
        if (best == nullptr || current > *best) {
            best = &current;
            best_index = i;
        }
    }
    *best -= total;
    return {best_index, "next"};
}

}  // namespace buildkit_lb::balancer
