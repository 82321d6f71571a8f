#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "balancer/policy.hpp"

namespace buildkit_lb::balancer {

/// Smooth weighted round robin, as nginx does it (its commit 52327e0627f4, "Upstream: smooth weighted round-robin
/// balancing", 2012): each worker's current weight grows by its weight at each pick, the largest wins and pays back the
/// sum of all weights. Weights 5, 1, 1 give a a b a c a a instead of a a a a a b c.
class round_robin : public policy {
public:
    static constexpr std::string_view policy_name = "round-robin";

    std::string_view name() const override { return policy_name; }
    void use(const worker_table& workers) override;
    std::optional<choice> choose(const candidates& from, const pick_context& context) override;

private:
    // By name, so that a worker keeps its place when others come and go.
    std::unordered_map<std::string, std::int64_t> current_weight_;
    std::vector<std::int64_t*> by_index_;  // into current_weight_, whose elements stay where they are
};

}  // namespace buildkit_lb::balancer
