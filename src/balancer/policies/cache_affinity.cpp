#include "balancer/policies/cache_affinity.hpp"

#include <algorithm>
#include <cmath>

#include "balancer/policies/rendezvous.hpp"

namespace buildkit_lb::balancer {
namespace {

using candidates_span = std::span<const std::shared_ptr<worker>>;

/// The bound of load in one choice.
class load_bound {
public:
    load_bound(candidates_span candidates, const affinity_settings& settings)
        : spill_after_{static_cast<double>(settings.spill_after)}
    {
        std::uint64_t active = 1;
        std::uint64_t weights = 0;
        for (const auto& w : candidates) {
            active += w->active_builds();
            weights += w->weight().value;
        }
        per_weight_ = settings.load_factor * static_cast<double>(active) / static_cast<double>(weights);
    }

    /// With one build more it would not be over its bound.
    bool has_room(const worker& w) const
    {
        const double bound = std::max(spill_after_, std::ceil(per_weight_ * w.weight().value));
        return w.active_builds() + 1 <= bound;
    }

private:
    double spill_after_;
    double per_weight_ = 0;
};

}  // namespace

cache_affinity::cache_affinity(const affinity_settings& settings)
    : settings_{settings}, warm_{settings.memory, settings.warmth_ttl}
{
}

std::uint64_t cache_affinity::hash_of(const worker& w)
{
    const auto [at, is_new] = hashes_.try_emplace(w.name(), 0);
    if (is_new) {
        at->second = rendezvous_hash(w.name());
    }
    return at->second;
}

choice cache_affinity::choose(candidates_span candidates, const pick_context& context)
{
    if (context.key.empty()) {
        return {without_key_.choose(candidates, context).index, "no-key"};
    }
    const load_bound bound{candidates, settings_};
    const auto& warm = warm_.find(context.key, context.now);
    for (std::size_t i = 0; i < warm.size(); ++i) {
        const auto at = std::find_if(candidates.begin(), candidates.end(),
                                     [&](const auto& w) { return w->name() == warm[i].worker; });
        if (at != candidates.end() && bound.has_room(**at)) {
            return {static_cast<std::size_t>(at - candidates.begin()), i == 0 ? "home" : "warm"};
        }
    }
    const std::uint64_t key = rendezvous_hash(context.key);
    std::size_t best = candidates.size();
    double best_score = 0;
    for (std::size_t i = 0; i < candidates.size(); ++i) {
        const worker& w = *candidates[i];
        if (!bound.has_room(w)) {
            continue;
        }
        const double score = rendezvous_score(key, hash_of(w), w.weight());
        if (best == candidates.size() || score > best_score) {
            best = i;
            best_score = score;
        }
    }
    if (best == candidates.size()) {
        // The bound leaves somebody room as long as it is over the average; a load factor of 1 may not.
        best = without_key_.choose(candidates, context).index;
    }
    return {best, warm.empty() ? "new" : "spill"};
}

void cache_affinity::built(std::string_view key, std::string_view worker, double cached_share, time_point now)
{
    if (!key.empty()) {
        warm_.built(key, worker, cached_share, now);
    }
}

std::vector<warm_key> cache_affinity::copy_some(bool from_start, std::size_t most, time_point now)
{
    if (from_start) {
        warm_.begin_copy();
    }
    return warm_.take_some(most, now);
}

}  // namespace buildkit_lb::balancer
