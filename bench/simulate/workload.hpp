#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace buildkit_lb::simulation {

/// What is simulated. All times are seconds of virtual time.
struct settings {
    std::size_t workers = 100;
    std::size_t builds = 1'000'000;
    std::uint64_t seed = 1;

    // ---- Projects ----
    std::size_t projects_per_worker = 20;
    double zipf = 1.0;             ///< exponent of the law of popularity: the k-th project has a share ~ 1 / k^zipf
    double cold_seconds = 180;     ///< median work of a build that finds nothing in the cache
    double project_gigabytes = 2;  ///< median size of what a project keeps in the cache
    double changes_every = 48 * 3600.;  ///< mean time between changes of a project's base image or dependencies

    // ---- Workers ----
    double cache_gigabytes = 100;  ///< of each worker; what was used longest ago is collected
    std::uint32_t max_builds = 6;  ///< cap of builds on a worker
    std::uint32_t full_speed = 3;  ///< builds a worker runs at full speed; more of them share it
    double load = 0.2;             ///< of the pool's capacity, on average, if every build were warm
    double day_amplitude = 0.8;    ///< arrivals vary by that around their mean, within a day
    bool events = true;            ///< one worker is added, one fails for an hour, a tenth is added

    // ---- The policy cache-affinity, and the queue ----
    double load_factor = 1.25;
    std::uint32_t spill_after = 4;
    std::size_t memory = 100'000;
    std::uint32_t queue_length = 1000;
    double queue_timeout = 600;
};

/// Something that is built again and again.
struct project {
    double cold_work = 0;         ///< seconds of a build with nothing in the cache
    double cached_share = 0;      ///< of that work is saved by a cache of the latest version
    double bytes = 0;             ///< what it keeps in a cache
    std::vector<double> changes;  ///< when its base image or dependencies change

    /// How many changes there have been: a cache of an earlier version helps only half as much.
    std::uint32_t version_at(double time) const;
};

/// One build as it comes in: the same for every policy.
struct build {
    double time = 0;
    std::uint32_t project = 0;
    float luck = 1;  ///< its work, relative to others of its project
};

/// How warm a cache is for a build.
enum class warmth : std::uint8_t { cold, outdated, warm };

struct workload {
    std::vector<project> projects;  ///< the most popular first
    std::vector<build> builds;      ///< in order of time
    double span = 0;

    double work_of(const build& b, warmth how) const;
    /// Share of its steps that come from the cache.
    double cached_share(const build& b, warmth how) const;
};

workload make_workload(const settings& of);

/// What one cache without bound, on a machine without bound, would do: nothing waits, and a build is warm when one of
/// the same project and version has ended.
struct ideal {
    double warm_share = 0;
    double mean_time = 0;
};
ideal ideal_of(const workload& load);

}  // namespace buildkit_lb::simulation
