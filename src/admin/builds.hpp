#pragma once

#include <map>
#include <string>
#include <vector>

#include "admin/router.hpp"
#include "admin/routes.hpp"
#include "balancer/build_summary.hpp"

namespace buildkit_lb::admin {

/// The page /api/v1/builds: active builds, the oldest first; queued ones in the order of the queue; recent ones, the
/// latest first, which is the order of `builds`. `query` may name one `pool` of `pools`, and one `state`: queued,
/// active or ended. Pure.
response builds_page(const std::vector<balancer::build_summary>& builds,
                     const std::map<std::string, std::string>& query, const std::vector<std::string>& pools);

void add_build_routes(router& routes, const context& about);

}  // namespace buildkit_lb::admin
