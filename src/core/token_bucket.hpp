#pragma once

#include <algorithm>
#include <chrono>

#include "core/types.hpp"

namespace buildkit_lb {

/// How often something may happen: `rate` times a second over time, up to `burst` times at once. The classic token
/// bucket: in any span of time at most burst + rate * span. Pure; used by one thread.
class token_bucket {
public:
    token_bucket(double rate, double burst) : rate_{rate}, burst_{burst}, tokens_{burst} {}

    /// Takes `count` tokens; false, and none taken, where there are fewer. Times only grow.
    bool take(double count, time_point now)
    {
        if (refilled_ != time_point{}) {
            give(rate_ * std::chrono::duration<double>(now - refilled_).count());
        }
        refilled_ = now;
        if (tokens_ < count) {
            return false;
        }
        tokens_ -= count;
        return true;
    }

    /// Earns `count` tokens by something else than time. More than `burst` are never saved.
    void give(double count) { tokens_ = std::min(burst_, tokens_ + count); }

private:
    double rate_;
    double burst_;
    double tokens_;
    time_point refilled_{};
};

}  // namespace buildkit_lb
