#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "balancer/policies/least_active_builds.hpp"
#include "balancer/policies/warmth_memory.hpp"
#include "balancer/policy.hpp"

namespace buildkit_lb::balancer {

/// The same key to the same worker, whose cache is warm for it, within a bound of load.
///
/// Order of preference: the workers that are warm for the key (see warmth_memory), then by weighted rendezvous hashing
/// (see rendezvous.hpp). The first whose load stays within its bound gets the build: consistent hashing with bounded
/// loads (V. Mirrokni, M. Thorup, M. Zadimoghaddam, 2016), where the bound of a worker is
///
///     max(spill_after, ceil(load_factor × (active + 1) × weight / Σ weight))
///
/// over the workers that may take it. If nobody is within it, the least active one. Reasons: `home` (the warmest),
/// `warm` (another warm one), `spill` (a cold one, because the warm ones are over the bound or can't take it), `new`
/// (nobody is warm), `no-key` (as least-active-builds).
class cache_affinity : public policy {
public:
    static constexpr std::string_view policy_name = "cache-affinity";

    explicit cache_affinity(const affinity_settings& settings);

    std::string_view name() const override { return policy_name; }
    choice choose(std::span<const std::shared_ptr<worker>> candidates, const pick_context& context) override;
    void built(std::string_view key, std::string_view worker, double cached_share, time_point now) override;
    std::size_t remembered() const override { return warm_.size(); }
    std::uint64_t changes() const override { return warm_.changes(); }
    std::vector<warm_key> copy_some(bool from_start, std::size_t most, time_point now) override;
    void restore(warm_key from, time_point now) override { warm_.restore(std::move(from), now); }

private:
    std::uint64_t hash_of(const worker& w);

    const affinity_settings settings_;
    warmth_memory warm_;
    least_active_builds without_key_;
    std::unordered_map<std::string, std::uint64_t> hashes_;  // of the workers' names
};

}  // namespace buildkit_lb::balancer
