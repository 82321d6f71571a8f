#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <unordered_map>
#include <vector>

#include "simulation/workload.hpp"

namespace buildkit_lb::simulation {

/// A simulated worker: a cache of limited size, and builds that share its processors. Used by one simulation.
class machine {
public:
    /// `full_speed`: builds it runs at full speed; `cache_bytes`: what it keeps.
    machine(std::uint32_t full_speed, double cache_bytes) : full_speed_{full_speed}, cache_bytes_{cache_bytes} {}

    // ---- Builds ----

    /// Build number `id` begins, and takes `work` seconds at full speed.
    void start(std::uint32_t id, double work, double now);
    /// When the next build ends if none begins before; infinity when none runs.
    double next_end(double now) const;
    /// Ends it.
    std::uint32_t end_next(double now);
    /// The worker is lost: what ran on it.
    std::vector<std::uint32_t> lose(double now);
    std::size_t running() const { return running_.size(); }

    // ---- Cache ----

    /// How warm it is for a version of a project; what is looked for is used.
    warmth use(std::uint32_t project, std::uint32_t version);
    /// A build has filled it. What was used longest ago is collected until the rest has room.
    void fill(std::uint32_t project, std::uint32_t version, double bytes);

private:
    struct part {
        std::uint32_t id = 0;
        double ends_at = 0;  // of served_
    };
    struct cached {
        std::uint32_t project = 0;
        std::uint32_t version = 0;
        double bytes = 0;
    };
    void serve(double now);
    double speed() const;
    std::size_t next() const;

    const std::uint32_t full_speed_;
    const double cache_bytes_;
    std::vector<part> running_;  // few: it is searched
    double served_ = 0;          // seconds of work that a build would have got that was always here
    double served_until_ = 0;
    std::list<cached> cache_;  // used longest ago first
    std::unordered_map<std::uint32_t, std::list<cached>::iterator> by_project_;
    double used_bytes_ = 0;
};

}  // namespace buildkit_lb::simulation
