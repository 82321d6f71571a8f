#pragma once

#include <cstdint>
#include <vector>

#include "balancer/policy.hpp"

namespace buildkit_lb::balancer {

/// The worker with the fewest active builds per weight; ties rotate, so that an idle pool is used evenly.
/// A full scan of the pool, as Envoy's least-request policy does in its FULL_SCAN mode: builds are few and long,
/// and an exact answer is worth more than the nanoseconds of two random choices.
class least_active_builds : public policy {
public:
    static constexpr std::string_view policy_name = "least-active-builds";

    std::string_view name() const override { return policy_name; }
    std::optional<choice> choose(const candidates& from, const pick_context& context) override;

private:
    std::size_t rotation_ = 0;
    std::vector<std::uint32_t> listed_;  // kept for its memory
};

}  // namespace buildkit_lb::balancer
