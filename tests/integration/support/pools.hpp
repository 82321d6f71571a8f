#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "balancer/policies/registry.hpp"
#include "balancer/pool.hpp"

namespace buildkit_lb::test {

/// A pool of workers w1, w2, … at these ports of 127.0.0.1.
inline std::shared_ptr<balancer::pool> pool_at(const std::vector<std::uint16_t>& ports, std::string name = "default",
                                               std::string_view policy = "round-robin")
{
    std::vector<balancer::worker_settings> workers;
    for (const auto port : ports) {
        balancer::worker_settings w;
        w.name = "w" + std::to_string(workers.size() + 1);
        w.address.host = "127.0.0.1";
        w.address.port = port;
        workers.push_back(std::move(w));
    }
    return std::make_shared<balancer::pool>(std::move(name), std::move(workers), balancer::make_policy(policy));
}

}  // namespace buildkit_lb::test
