#include "balancer/policies/registry.hpp"

#include "balancer/policies/cache_affinity.hpp"
#include "balancer/policies/least_active_builds.hpp"
#include "balancer/policies/round_robin.hpp"

namespace buildkit_lb::balancer {

// A new policy is one line here.
std::unique_ptr<policy> make_policy(std::string_view name, const affinity_settings& affinity)
{
    if (name == round_robin::policy_name) {
        return std::make_unique<round_robin>();
    }
    if (name == least_active_builds::policy_name) {
        return std::make_unique<least_active_builds>();
    }
    if (name == cache_affinity::policy_name) {
        return std::make_unique<cache_affinity>(affinity);
    }
    return nullptr;
}

}  // namespace buildkit_lb::balancer
