#pragma once

#include <memory>
#include <string_view>

#include "balancer/policy.hpp"

namespace buildkit_lb::balancer {

/// Makes the policy that users call `name`; nullptr for a name that is none.
std::unique_ptr<policy> make_policy(std::string_view name, const affinity_settings& affinity = {});

}  // namespace buildkit_lb::balancer
