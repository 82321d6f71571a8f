#include "balancer/policies/least_active_builds.hpp"

#include <cstdint>

namespace buildkit_lb::balancer {

std::optional<choice> least_active_builds::choose(const candidates& from, const pick_context&)
{
    from.list(listed_);
    if (listed_.empty()) {
        return std::nullopt;
    }
    // Starting one further at each pick is what rotates ties.
    const std::size_t start = rotation_++ % listed_.size();
    std::size_t best = listed_[start];
    std::uint64_t best_builds = from.builds(best);
    std::uint64_t best_weight = from.weight(best);
    const auto look_at = [&](std::size_t n) {
        const std::uint64_t builds = from.builds(listed_[n]);
        const std::uint64_t weight = from.weight(listed_[n]);
        // a/wa < b/wb without division: both weights are positive and small enough for 64 bits.
        if (builds * best_weight < best_builds * weight) {
            best = listed_[n];
            best_builds = builds;
            best_weight = weight;
        }
    };
    for (std::size_t n = start + 1; n < listed_.size(); ++n) {
        look_at(n);
    }
    for (std::size_t n = 0; n < start; ++n) {
        look_at(n);
    }
    return choice{best, "least-active"};
}

}  // namespace buildkit_lb::balancer
