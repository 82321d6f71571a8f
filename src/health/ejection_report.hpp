#pragma once

#include <string>

#include "balancer/pool.hpp"
#include "metrics/instruments.hpp"

namespace buildkit_lb::health {

/// Logs and counts the ejections of the workers of the pool called `pool`: flips only. Any thread; `instruments`
/// outlives the pool.
balancer::pool::ejection_observer ejection_report(std::string pool, metrics::instruments& instruments);

}  // namespace buildkit_lb::health
