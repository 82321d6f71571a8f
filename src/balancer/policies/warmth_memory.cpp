#include "balancer/policies/warmth_memory.hpp"

#include <algorithm>
#include <iterator>

namespace buildkit_lb::balancer {

void warmth_memory::built(std::string_view key, std::string_view worker, double cached_share, time_point now)
{
    if (capacity_ == 0) {
        return;
    }
    ++changes_;
    auto found = keys_.find(key);
    if (found == keys_.end()) {
        by_age_.emplace_back(key);
        found = keys_.emplace(std::string{key}, entry{{}, std::prev(by_age_.end())}).first;
    } else {
        make_latest(found->second.age);
        drop_cold(found->second, now);
    }
    auto& workers = found->second.workers;
    auto at = std::find_if(workers.begin(), workers.end(), [&](const warmth& w) { return w.worker == worker; });
    if (at == workers.end()) {
        workers.push_back({std::string{worker}, now, cached_share});
    } else {
        at->built = now;
        at->cached_share = cached_share;
    }
    // The first stays the first; behind it the latest come first.
    std::sort(std::next(workers.begin()), workers.end(),
              [](const auto& a, const auto& b) { return a.built > b.built; });
    workers.resize(std::min(workers.size(), max_workers));
    forget_oldest();
}

const std::vector<warmth_memory::warmth>& warmth_memory::find(std::string_view key, time_point now)
{
    static const std::vector<warmth> none;
    const auto found = keys_.find(key);
    if (found == keys_.end()) {
        return none;
    }
    drop_cold(found->second, now);
    return found->second.workers;
}

std::vector<warm_key> warmth_memory::take_some(std::size_t most, time_point now)
{
    std::vector<warm_key> taken;
    for (; next_to_copy_ != by_age_.end() && taken.size() < most; ++next_to_copy_) {
        entry& of = keys_.find(*next_to_copy_)->second;
        drop_cold(of, now);
        taken.push_back({*next_to_copy_, of.workers});
    }
    return taken;
}

void warmth_memory::restore(warm_key from, time_point now)
{
    entry made{std::move(from.workers), by_age_.end()};
    drop_cold(made, now);
    made.workers.resize(std::min(made.workers.size(), max_workers));
    if (capacity_ == 0 || made.workers.empty() || keys_.contains(from.key)) {
        return;
    }
    made.age = by_age_.insert(by_age_.end(), from.key);
    keys_.emplace(std::move(from.key), std::move(made));
    forget_oldest();
}

void warmth_memory::make_latest(std::list<std::string>::iterator age)
{
    if (next_to_copy_ == age) {
        ++next_to_copy_;
    }
    by_age_.splice(by_age_.end(), by_age_, age);
}

void warmth_memory::forget_oldest()
{
    if (keys_.size() <= capacity_) {
        return;
    }
    if (next_to_copy_ == by_age_.begin()) {
        ++next_to_copy_;
    }
    keys_.erase(keys_.find(by_age_.front()));
    by_age_.pop_front();
}

void warmth_memory::drop_cold(entry& of, time_point now) const
{
    std::erase_if(of.workers, [&](const warmth& w) { return now - w.built >= ttl_; });
}

}  // namespace buildkit_lb::balancer
