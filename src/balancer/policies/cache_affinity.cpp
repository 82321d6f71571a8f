#include "balancer/policies/cache_affinity.hpp"

#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

namespace buildkit_lb::balancer {
namespace {

/// The bound of load in one choice.
class load_bound {
public:
    load_bound(const candidates& from, const affinity_settings& settings) : from_{from}, settings_{settings} {}

    /// With one build more it would not be over its bound.
    bool has_room(std::size_t index)
    {
        const std::uint32_t builds = from_.builds(index) + 1;
        if (builds <= never_too_many(index)) {
            return true;
        }
        if (!per_weight_) {
            const auto all = from_.sum();
            per_weight_ =
                settings_.load_factor * static_cast<double>(all.builds + 1) / static_cast<double>(all.weights);
        }
        return builds <= std::ceil(*per_weight_ * from_.weight(index));
    }

private:
    /// spill_after; of a worker that starts slowly, its share of that.
    std::uint64_t never_too_many(std::size_t index) const
    {
        const std::uint64_t now = from_.weight(index);
        const std::uint64_t whole = from_.all().weight(index);
        return now == whole ? settings_.spill_after : std::max<std::uint64_t>(settings_.spill_after * now / whole, 1);
    }

    const candidates& from_;
    const affinity_settings& settings_;
    std::optional<double> per_weight_;  // once it was needed
};

}  // namespace

cache_affinity::cache_affinity(const affinity_settings& settings)
    : settings_{settings}, warm_{settings.memory, settings.warmth_ttl}
{
}

void cache_affinity::use(const worker_table& workers)
{
    std::vector<std::uint64_t> hashes;
    std::vector<worker_weight> weights;
    for (std::size_t i = 0; i < workers.size(); ++i) {
        hashes.push_back(rendezvous_hash(workers.worker_at(i)->name()));
        weights.push_back(workers.worker_at(i)->weight());
    }
    ranking_ = rendezvous_table{hashes, weights};
}

std::optional<choice> cache_affinity::choose(const candidates& from, const pick_context& context)
{
    const auto least_active = [&](std::string_view reason) {
        auto chosen = without_key_.choose(from, context);
        if (chosen) {
            chosen->reason = reason;
        }
        return chosen;
    };
    if (context.key.empty()) {
        return least_active("no-key");
    }
    load_bound bound{from, settings_};
    const auto& warm = warm_.find(context.key, context.now);
    for (std::size_t i = 0; i < warm.size(); ++i) {
        const auto at = from.all().find(warm[i].worker);
        if (at && from.may_take(*at) && bound.has_room(*at)) {
            return choice{*at, i == 0 ? "home" : "warm"};
        }
    }
    const std::string_view reason = warm.empty() ? "new" : "spill";
    const auto best = ranking_.best(rendezvous_hash(context.key),
                                    [&](std::size_t i) { return from.may_take(i) && bound.has_room(i); });
    if (best) {
        return choice{*best, reason};
    }
    // The bound leaves somebody room as long as it is over the average; a load factor of 1 may not.
    return least_active(reason);
}

bool cache_affinity::is_warm(const candidates& from, const pick_context& context)
{
    if (context.key.empty()) {
        return false;
    }
    const auto& warm = warm_.find(context.key, context.now);
    return std::any_of(warm.begin(), warm.end(), [&](const auto& w) {
        const auto at = from.all().find(w.worker);
        return at && from.may_take(*at);
    });
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
