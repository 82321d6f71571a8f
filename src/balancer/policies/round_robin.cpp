#include "balancer/policies/round_robin.hpp"

namespace buildkit_lb::balancer {

void round_robin::use(const worker_table& workers)
{
    std::erase_if(current_weight_, [&](const auto& entry) { return !workers.find(entry.first); });
    by_index_.clear();
    for (std::size_t i = 0; i < workers.size(); ++i) {
        by_index_.push_back(&current_weight_[workers.worker_at(i)->name()]);
    }
}

std::optional<choice> round_robin::choose(const candidates& from, const pick_context&)
{
    std::int64_t total = 0;
    std::int64_t* best = nullptr;
    std::size_t best_index = 0;
    for (std::size_t i = 0; i < from.size(); ++i) {
        if (!from.may_take(i)) {
            continue;
        }
        const std::int64_t weight = from.weight(i);
        std::int64_t& current = *by_index_[i];
        current += weight;
        total += weight;
        if (best == nullptr || current > *best) {
            best = &current;
            best_index = i;
        }
    }
    if (best == nullptr) {
        return std::nullopt;
    }
    *best -= total;
    return choice{best_index, "next"};
}

}  // namespace buildkit_lb::balancer
