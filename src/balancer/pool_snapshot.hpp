#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "balancer/worker.hpp"
#include "balancer/worker_facts.hpp"
#include "core/types.hpp"

namespace buildkit_lb::balancer {

/// What probes and traffic say of a worker. `unknown` (before the first probe has ended) may take builds.
enum class worker_health : std::uint8_t { unknown, up, down };
std::string_view to_string(worker_health health);

/// One worker as it was known at one moment.
struct worker_view {
    std::shared_ptr<balancer::worker> worker;
    worker_health health = worker_health::unknown;
    bool draining = false;    ///< takes no new build, by an operator's wish: kept apart from health
    bool leaving = false;     ///< takes no new build, because the configuration has it no more; dropped once it is idle
    bool going_away = false;  ///< takes no new build: it has said GOAWAY and was not found up since
    /// Takes no new build for a while, because traffic to it has failed (see outlier_detector): unless nobody else
    /// could.
    bool ejected = false;
    time_point ejected_until{};  ///< while it is ejected
    std::string ejected_for;     ///< the last failure, for people, while it is ejected
    label_map labels;            ///< as configured: they outdo those it tells of itself
    std::string last_error;      ///< why it is down, for people; empty while it is up
    /// What it said of itself the last time it was asked; null when it never was. Kept while it is down.
    std::shared_ptr<const worker_facts> facts;
};

/// All workers of a pool at one moment, in the order of the configuration. Immutable; replaced whole.
struct pool_snapshot {
    std::string pool;
    std::vector<worker_view> workers;
    bool probed = false;             ///< something probes it: `unknown` will not last
    std::string commonest_platform;  ///< the native one of most workers; empty: none has told
    bool same_platforms = false;     ///< all workers have told the same platforms

    /// True when a worker may take builds that is known to be up, or that nothing will ever know more of.
    bool ready() const;
};

}  // namespace buildkit_lb::balancer
