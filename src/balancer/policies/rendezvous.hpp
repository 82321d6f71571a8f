#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "core/types.hpp"

namespace buildkit_lb::balancer {

/// Weighted rendezvous hashing (highest random weight: D. Thaler and C. V. Ravishankar, 1998; weights by the
/// logarithmic method: C. Schindelhauer and G. Schomaker, 2005): each worker gets a score for a key, the highest is the
/// key's home. When a worker is added, only the keys it wins move; when one goes, only its own.
///
/// The hash is part of the contract between replicas and restarts, so it does not change: FNV-1a of the bytes, 64 bits,
/// mixed by the finalizer of SplitMix64. Pure; any thread.

/// The hash of a key or of a worker's name.
std::uint64_t rendezvous_hash(std::string_view text);

/// The score of a worker for a key, by both hashes: greater is better. Equal weights compare as the mixed hashes do.
double rendezvous_score(std::uint64_t key, std::uint64_t worker, worker_weight weight);

/// Workers laid out for finding the one with the highest score for a key: a pass over one array of hashes that tells a
/// candidate by comparing integers. Logarithms are taken only of those that could be the best, and of none where all
/// weights are equal. Not changed once it is made.
class rendezvous_table {
public:
    rendezvous_table() = default;
    /// Both in the same order, which is what best() counts by.
    rendezvous_table(std::span<const std::uint64_t> hashes, std::span<const worker_weight> weights);

    /// The worker with the highest score for `key` (a rendezvous_hash) among those of which `may(index)` is true. That
    /// is asked only of workers with a higher score than the best so far, so of few: ln(n) of n, where all may.
    template <class Predicate>
    std::optional<std::size_t> best(std::uint64_t key, const Predicate& may) const
    {
        const bool one_weight = parts_.size() == 1;
        std::optional<std::size_t> found;
        double best_score = 0;
        for (const auto& part : parts_) {
            std::uint64_t least = found ? least_to_beat(best_score, part.weight) : 0;
            for (std::size_t i = part.begin; (i = next(i, part.end, key, least)) < part.end; ++i) {
                const std::uint64_t hash = unfolded(multiplied(folded(key) ^ workers_[i]));
                const double score = one_weight ? 0 : score_of(hash, part.weight);
                const bool better = !found || (one_weight ? hash > least : score > best_score);
                if (better && may(indexes_[i])) {
                    found = indexes_[i];
                    best_score = score;
                    least = hash;
                }
            }
        }
        return found;
    }

private:
    /// Workers of the same weight.
    struct section {
        worker_weight weight;
        std::size_t begin = 0;
        std::size_t end = 0;
    };

    /// The first from `begin` on whose hash may be `least` or more; `end`: none.
    std::size_t next(std::size_t begin, std::size_t end, std::uint64_t key, std::uint64_t least) const;

    // The finalizer of SplitMix64 in three steps. The first distributes over exclusive or, so that it is done once for
    // a worker and once for a key, and not for each pair.
    static std::uint64_t folded(std::uint64_t x) { return x ^ (x >> 30U); }
    static std::uint64_t multiplied(std::uint64_t x)
    {
        x *= 0xbf58476d1ce4e5b9U;
        x ^= x >> 27U;
        return x * 0x94d049bb133111ebU;
    }
    static std::uint64_t unfolded(std::uint64_t x) { return x ^ (x >> 31U); }

    static double score_of(std::uint64_t hash, worker_weight weight);
    /// A worker of that weight whose hash is less does not have the score; some of those that are not less may not
    /// have it either.
    static std::uint64_t least_to_beat(double score, worker_weight weight);
    friend std::uint64_t rendezvous_hash(std::string_view text);
    friend double rendezvous_score(std::uint64_t key, std::uint64_t worker, worker_weight weight);

    std::vector<std::uint64_t> workers_;  // their hashes, each with the constant of SplitMix64 added, and folded
    std::vector<std::size_t> indexes_;
    std::vector<section> parts_;
};

}  // namespace buildkit_lb::balancer
