#include "proxy/buildkit/liveness.hpp"

#include <utility>

namespace buildkit_lb::proxy {

liveness::step liveness::look(duration limit, std::uint64_t bytes_in, bool busy, time_point now)
{
    const bool spoke = std::exchange(bytes_in_, bytes_in) != bytes_in;
    if (spoke || !busy || !silent_since_ || limit == duration::zero()) {
        silent_since_ = now;
        asked_.reset();
        return step::nothing;
    }
    if (!asked_) {
        if (now - *silent_since_ < limit / 3) {
            return step::nothing;
        }
        asked_ = now;
        return step::ask;
    }
    // If it is this process that was frozen, the worker gets its time to answer all the same.
    const bool had_time = now - *asked_ >= limit / 2;
    return had_time && now - *silent_since_ >= limit ? step::give_up : step::nothing;
}

}  // namespace buildkit_lb::proxy
