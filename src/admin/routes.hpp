#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "admin/drain_wait.hpp"
#include "admin/router.hpp"
#include "balancer/build_summary.hpp"
#include "balancer/pool.hpp"
#include "metrics/instruments.hpp"

namespace buildkit_lb::admin {

/// Whether new builds should be sent here, and if not, why: one line a reason.
struct readiness {
    bool ready = false;
    std::vector<std::string> reasons;
};

/// What the admin pages speak of. Outlives the server; used on its thread.
struct context {
    const metrics::instruments& instruments;
    std::function<std::vector<std::shared_ptr<balancer::pool>>()> pools;
    std::function<readiness()> ready;
    /// Called after a worker was drained or undrained, where somebody keeps that.
    std::function<void()> drains_changed = {};
    duration drain_settle = drain_wait::default_settle;
    /// The builds of all pools: those that have not ended, and the latest that have, the last first in each pool.
    std::function<std::vector<balancer::build_summary>()> builds = {};
};

/// What a reload came to: errors, and nothing has changed; or what has.
struct reload_outcome {
    std::vector<std::string> errors;
    std::vector<std::string> changes;   ///< one line a value of the file
    std::vector<std::string> warnings;  ///< what takes effect only after a restart
};
response reload_response(const reload_outcome& outcome);

/// The pages every balancer has: /metrics, /healthz, /readyz, and what workers.hpp and builds.hpp add.
router make_routes(const context& about);

}  // namespace buildkit_lb::admin
