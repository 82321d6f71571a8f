#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "simulation/workload.hpp"

namespace buildkit_lb::simulation {

/// Where the keys of all projects would go just before and just after workers were added or lost.
struct scale_event {
    std::string what;  ///< `+1`, `-1`, `+10`
    double time = 0;
    std::size_t workers = 0;          ///< before
    std::size_t changed = 0;          ///< added or lost
    double moved = 0;                 ///< share of the keys that go elsewhere; NaN: the pool was full
    double moved_without_memory = 0;  ///< the same for a balancer that has just been started, and is idle
    double busy_after = 0;            ///< builds the added ones got in the day after, relative to the others
    /// What it may be: the share of the workers that changed, and a hundredth.
    double bound() const { return static_cast<double>(changed) / static_cast<double>(workers) + 0.01; }
};

/// What happened in one hour.
struct hour {
    std::size_t builds = 0;
    std::size_t warm = 0;
    double time = 0;
    double wait = 0;
    double longest_wait = 0;
};

/// What one policy did with a workload. Times are seconds.
struct result {
    std::string policy;
    std::size_t built = 0;
    std::size_t rejected = 0;   ///< the queue was full, or they waited for too long
    std::size_t restarted = 0;  ///< their worker was lost
    double warm_share = 0;
    double mean_time = 0;  ///< of a build, from its beginning to its end
    double p95_time = 0;
    double mean_wait = 0;
    double p95_wait = 0;
    double p99_wait = 0;
    double waited_share = 0;  ///< of the builds were not begun at once
    /// Standard deviation of the builds that workers have, relative to their mean, averaged over moments.
    double spread = 0;
    double busiest = 0;  ///< builds of the worker that got most, relative to the mean
    std::vector<scale_event> scaled;
    std::vector<hour> hours;
    double seconds = 0;  ///< of real time that it took
};

/// Runs the workload through a balancer::pool with that policy.
result simulate(const settings& of, const workload& load, std::string_view policy);

}  // namespace buildkit_lb::simulation
