#include "balancer/slow_start.hpp"

#include <algorithm>

namespace buildkit_lb::balancer {

void slow_start::use(duration window)
{
    window_ = window;
    if (window_ == duration::zero()) {
        since_.clear();
    }
}

void slow_start::begin(const worker& w, time_point now)
{
    if (window_ != duration::zero()) {
        since_[&w] = now;
    }
}

bool slow_start::any(time_point now)
{
    std::erase_if(since_, [&](const auto& entry) { return now - entry.second >= window_; });
    return !since_.empty();
}

std::uint32_t slow_start::share(const worker& w, time_point now) const
{
    const auto found = since_.find(&w);
    if (found == since_.end() || now - found->second >= window_) {
        return unit;
    }
    // No longer than 24 hours, in nanoseconds: the product fits.
    const auto grown = (now - found->second) * std::int64_t{unit} / window_;
    return static_cast<std::uint32_t>(std::max<std::int64_t>(grown, least));
}

}  // namespace buildkit_lb::balancer
