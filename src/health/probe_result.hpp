#pragma once

#include <memory>

#include "balancer/worker_facts.hpp"
#include "core/failure.hpp"

namespace buildkit_lb::health {

/// What a probe that passed has found.
struct probe_report {
    /// What the worker says of itself: the same object as long as it says the same. Null when the probe does not ask.
    std::shared_ptr<const balancer::worker_facts> facts;
};

/// What one probe of a worker found: nothing wrong, or why it failed.
using probe_result = result<probe_report>;

}  // namespace buildkit_lb::health
