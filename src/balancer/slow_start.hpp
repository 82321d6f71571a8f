#pragma once

#include <cstdint>
#include <unordered_map>

#include "core/types.hpp"

namespace buildkit_lb::balancer {

class worker;

/// Which workers of a pool have come back lately, and how large a share of its weight each gets meanwhile: `slow_start`
/// of the configuration, as Envoy does it with an aggression of 1 ("Slow start mode" in its documentation). A share
/// grows in proportion to the time since the worker came back, from a tenth to all.
///
/// Pure: it is told the time. Workers are only compared by address. Owned by a pool and guarded by its lock.
class slow_start {
public:
    /// A whole share, and the least: shares are numbers of this unit. A power of two, so that a bound of load that is
    /// calculated with shares is the same, to the last bit, as without.
    static constexpr std::uint32_t unit = 1024;
    static constexpr std::uint32_t least = unit / 10;

    /// How long it takes from now on; 0: nobody starts slowly.
    void use(duration window);

    /// `w` takes builds again, or for the first time.
    void begin(const worker& w, time_point now);
    void forget(const worker& w) { since_.erase(&w); }

    /// Forgets those whose time is over; true when some are left.
    bool any(time_point now);

    std::uint32_t share(const worker& w, time_point now) const;

private:
    duration window_{};
    std::unordered_map<const worker*, time_point> since_;
};

}  // namespace buildkit_lb::balancer
