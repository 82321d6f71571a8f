#pragma once

#include "admin/router.hpp"
#include "admin/routes.hpp"

namespace buildkit_lb::admin {

/// /api/v1/workers and /api/v1/pools, and the calls that drain and undrain a worker.
void add_worker_routes(router& routes, const context& about);

}  // namespace buildkit_lb::admin
