#include "balancer/policies/rendezvous.hpp"

#include <numeric>

namespace buildkit_lb::balancer {
namespace {

std::uint64_t salted(std::uint64_t worker)
{
    return worker + 0x9e3779b97f4a7c15U;
}

}  // namespace

std::uint64_t rendezvous_hash(std::string_view text)
{
    std::uint64_t hash = 0xcbf29ce484222325U;
    for (const char c : text) {
        hash ^= static_cast<unsigned char>(c);
        hash *= 0x100000001b3U;
    }
    using table = rendezvous_table;
    return table::unfolded(table::multiplied(table::folded(hash)));
}

double rendezvous_score(std::uint64_t key, std::uint64_t worker, worker_weight weight)
{
    using table = rendezvous_table;
    return table::score_of(table::unfolded(table::multiplied(table::folded(key ^ salted(worker)))), weight);
}

rendezvous_table::rendezvous_table(std::span<const std::uint64_t> hashes, std::span<const worker_weight> weights)
    : indexes_(hashes.size())
{
    std::iota(indexes_.begin(), indexes_.end(), std::size_t{0});
    std::sort(indexes_.begin(), indexes_.end(),
              [&](std::size_t a, std::size_t b) { return weights[a] != weights[b] ? weights[a] > weights[b] : a < b; });
    for (const std::size_t index : indexes_) {
        if (parts_.empty() || parts_.back().weight != weights[index]) {
            parts_.push_back({weights[index], workers_.size(), workers_.size()});
        }
        workers_.push_back(folded(salted(hashes[index])));
        ++parts_.back().end;
    }
}

std::size_t rendezvous_table::next(std::size_t begin, std::size_t end, std::uint64_t key, std::uint64_t least) const
{
    // The last step of the mixing leaves the upper 31 bits as they are, so it need not be done to compare those.
    const std::uint64_t bound = least & ~std::uint64_t{0x1ffffffff};
    const std::uint64_t half_mixed = folded(key);
    const std::uint64_t* const workers = workers_.data();
    const auto may_be = [&](std::size_t i) { return multiplied(half_mixed ^ workers[i]) >= bound ? 1U : 0U; };
    std::size_t i = begin;
    // Four at a time: one branch, and the multiplications overlap.
    while (i + 4 <= end && (may_be(i) | may_be(i + 1) | may_be(i + 2) | may_be(i + 3)) == 0) {
        i += 4;
    }
    while (i < end && may_be(i) == 0) {
        ++i;
    }
    return i;
}

double rendezvous_table::score_of(std::uint64_t hash, worker_weight weight)
{
    // 53 bits make a number of (0, 1): its logarithm, divided by the weight, is exponentially distributed with that
    // rate.
    const double uniform = (static_cast<double>(hash >> 11U) + 0.5) * 0x1p-53;
    return std::log(uniform) / weight.value;
}

std::uint64_t rendezvous_table::least_to_beat(double score, worker_weight weight)
{
    // The inverse of score_of, a little too low: rounding never costs a worker its chance.
    const double uniform = std::exp(score * weight.value) * (1 - 1e-12);
    return static_cast<std::uint64_t>(uniform * 0x1p64);
}

}  // namespace buildkit_lb::balancer
