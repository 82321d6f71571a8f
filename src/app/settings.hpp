#pragma once

#include <memory>

#include "balancer/failover.hpp"
#include "balancer/placement.hpp"
#include "balancer/pool.hpp"
#include "config/config.hpp"
#include "http2/options.hpp"
#include "proxy/buildkit/client_limits.hpp"
#include "proxy/proxy_header.hpp"

/// The configuration in the words of the modules that act on it. Pure.
namespace buildkit_lb::app {

std::unique_ptr<balancer::policy> make_policy(const config::pool& from);
balancer::queue_settings queue_settings_of(const config::pool& from);
balancer::outlier_settings outlier_settings_of(const config::pool& from);
balancer::failover_settings failover_settings_of(const config::pool& from);
balancer::platform_settings platform_settings_of(const config::pool& from);
/// The configured workers, then those at `discovered`.
std::vector<balancer::worker_settings> workers_of(const config::pool& from, const config::limits& limits,
                                                  const std::vector<endpoint>& discovered = {});
balancer::placement_limits placement_limits_of(const config::limits& from);
http2::options http2_options_of(const config::limits& from);
proxy::client_limits client_limits_of(const config::limits& from);
proxy::proxy_version proxy_version_of(const config::pool& from);

}  // namespace buildkit_lb::app
