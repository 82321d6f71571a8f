#include "simulation/machine.hpp"

#include <algorithm>
#include <iterator>
#include <limits>

namespace buildkit_lb::simulation {

double machine::speed() const
{
    return running_.size() <= full_speed_ ? 1 : static_cast<double>(full_speed_) / static_cast<double>(running_.size());
}

void machine::serve(double now)
{
    served_ += (now - served_until_) * speed();
    served_until_ = now;
}

void machine::start(std::uint32_t id, double work, double now)
{
    serve(now);
    running_.push_back({id, served_ + work});
}

std::size_t machine::next() const
{
    const auto least = std::min_element(running_.begin(), running_.end(),
                                        [](const part& a, const part& b) { return a.ends_at < b.ends_at; });
    return static_cast<std::size_t>(least - running_.begin());
}

double machine::next_end(double now) const
{
    if (running_.empty()) {
        return std::numeric_limits<double>::infinity();
    }
    const double left = running_[next()].ends_at - served_ - (now - served_until_) * speed();
    return now + std::max(left, 0.) / speed();
}

std::uint32_t machine::end_next(double now)
{
    serve(now);
    const auto at = running_.begin() + static_cast<std::ptrdiff_t>(next());
    const std::uint32_t id = at->id;
    running_.erase(at);
    return id;
}

std::vector<std::uint32_t> machine::lose(double now)
{
    serve(now);
    std::vector<std::uint32_t> lost;
    lost.reserve(running_.size());
    for (const auto& p : running_) {
        lost.push_back(p.id);
    }
    running_.clear();
    return lost;
}

warmth machine::use(std::uint32_t project, std::uint32_t version)
{
    const auto found = by_project_.find(project);
    if (found == by_project_.end()) {
        return warmth::cold;
    }
    cache_.splice(cache_.end(), cache_, found->second);
    return found->second->version >= version ? warmth::warm : warmth::outdated;
}

void machine::fill(std::uint32_t project, std::uint32_t version, double bytes)
{
    const auto found = by_project_.find(project);
    if (found != by_project_.end()) {
        cache_.splice(cache_.end(), cache_, found->second);
        found->second->version = std::max(found->second->version, version);
        return;
    }
    cache_.push_back({project, version, bytes});
    by_project_.emplace(project, std::prev(cache_.end()));
    used_bytes_ += bytes;
    while (used_bytes_ > cache_bytes_) {
        used_bytes_ -= cache_.front().bytes;
        by_project_.erase(cache_.front().project);
        cache_.pop_front();
    }
}

}  // namespace buildkit_lb::simulation
