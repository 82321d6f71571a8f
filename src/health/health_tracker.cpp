#include "health/health_tracker.hpp"

#include <utility>

namespace buildkit_lb::health {

using balancer::worker_health;

std::optional<transition> health_tracker::observe(const probe_result& found, time_point now)
{
    if (found) {
        failures_ = 0;
        ++passes_;
        const bool enough = health_ == worker_health::unknown || passes_ >= limits_.healthy_after;
        if (health_ == worker_health::up || !enough) {
            return std::nullopt;
        }
        last_error_.clear();
        return become(worker_health::up, now);
    }
    passes_ = 0;
    ++failures_;
    const bool enough = health_ != worker_health::up || failures_ >= limits_.unhealthy_after;
    if (!enough) {
        return std::nullopt;
    }
    last_error_ = found.error().detail;
    return become(worker_health::down, now);
}

std::optional<transition> health_tracker::observe_connect_failure(const failure& why, time_point now)
{
    passes_ = 0;
    ++failures_;
    last_error_ = why.detail;
    return become(worker_health::down, now);
}

std::optional<transition> health_tracker::become(worker_health next, time_point now)
{
    if (health_ == next) {
        return std::nullopt;
    }
    transition flip;
    flip.to = next;
    flip.reason = last_error_;
    if (health_ != worker_health::unknown) {
        flip.lasted = now - since_;
    }
    health_ = next;
    since_ = now;
    return flip;
}

}  // namespace buildkit_lb::health
