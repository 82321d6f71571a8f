#pragma once

#include <memory>
#include <prometheus/collectable.h>
#include <vector>

#include "balancer/pool.hpp"

/// What is read when a scrape asks for it, instead of being counted as it happens. Given to
/// instruments::add_collector(); collected on the thread that serves the scrape.
namespace buildkit_lb::metrics {

/// State of every worker of these pools: buildkit_lb_worker_up, …_draining and …_active_builds.
using pool_list = std::function<std::vector<std::shared_ptr<balancer::pool>>()>;
std::shared_ptr<const prometheus::Collectable> make_pool_collector(pool_list pools);

/// The usual process_* metrics, out of /proc.
std::shared_ptr<const prometheus::Collectable> make_process_collector();

}  // namespace buildkit_lb::metrics
