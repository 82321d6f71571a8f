#pragma once

#include <string_view>
#include <utility>
#include <vector>

#include "balancer/policies/least_active_builds.hpp"
#include "balancer/policies/rendezvous.hpp"
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
/// over the workers that may take it. A worker that starts slowly (see slow_start) has less weight in that, and a lower
/// spill_after; the order of preference is not touched, so that no key moves for it. If nobody is within it, the least
/// active one. Reasons: `home` (the warmest), `warm` (another warm one), `spill` (a cold one, because the warm ones are
/// over the bound or can't take it), `new` (nobody is warm), `no-key` (as least-active-builds).
///
/// What a pick costs: the bound of a worker with fewer builds than spill_after is known without looking at the others.
/// So a key whose home has room costs a few look-ups, whatever the size of the pool; else one pass over the loads (for
/// the bound) or over the hashes (for a cold key), or one of each.
class cache_affinity : public policy {
public:
    static constexpr std::string_view policy_name = "cache-affinity";

    explicit cache_affinity(const affinity_settings& settings);

    std::string_view name() const override { return policy_name; }
    void use(const worker_table& workers) override;
    std::optional<choice> choose(const candidates& from, const pick_context& context) override;
    bool is_warm(const candidates& from, const pick_context& context) override;
    void built(std::string_view key, std::string_view worker, double cached_share, time_point now) override;
    std::size_t remembered() const override { return warm_.size(); }
    std::uint64_t changes() const override { return warm_.changes(); }
    std::vector<warm_key> copy_some(bool from_start, std::size_t most, time_point now) override;
    void restore(warm_key from, time_point now) override { warm_.restore(std::move(from), now); }

private:
    const affinity_settings settings_;
    warmth_memory warm_;
    least_active_builds without_key_;
    rendezvous_table ranking_;
};

}  // namespace buildkit_lb::balancer
