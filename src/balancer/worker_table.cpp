#include "balancer/worker_table.hpp"

#include <utility>

namespace buildkit_lb::balancer {

worker_table::worker_table(std::vector<worker_ptr> workers) : workers_{std::move(workers)}
{
    for (const auto& w : workers_) {
        by_name_.emplace(w->name(), loads_.size());
        loads_.push_back(&w->load());
        weights_.push_back(w->weight().value * slow_start::unit);
    }
}

std::optional<std::size_t> worker_table::find(std::string_view name) const
{
    const auto found = by_name_.find(name);
    return found == by_name_.end() ? std::nullopt : std::optional{found->second};
}

bool candidates::any() const
{
    for (std::size_t i = 0; i < size(); ++i) {
        if (may_take(i)) {
            return true;
        }
    }
    return false;
}

// The two passes over all workers do not branch on who may take the build: in a busy pool that would be guessed wrongly
// every other time.

void candidates::list(std::vector<std::uint32_t>& out) const
{
    out.resize(size());
    std::size_t count = 0;
    for (std::size_t i = 0; i < size(); ++i) {
        out[count] = static_cast<std::uint32_t>(i);
        count += static_cast<std::size_t>(may_take(i));
    }
    out.resize(count);
}

candidates::sums candidates::sum() const
{
    const auto add = [this](auto load_of) {
        sums all;
        for (std::size_t i = 0; i < size(); ++i) {
            const std::uint64_t load = load_of(i);
            // The difference is negative, and its upper half all ones, where it may.
            const std::uint64_t mask = (load - limits_[i]) >> 32U;
            all.builds += load & mask;
            all.weights += weight(i) & mask;
        }
        return all;
    };
    if (kind_ == build_kind::internal) {
        return add([this](std::size_t i) { return all_.builds(i, build_kind::internal); });
    }
    return add([this](std::size_t i) { return all_.builds(i, build_kind::ordinary); });
}

}  // namespace buildkit_lb::balancer
