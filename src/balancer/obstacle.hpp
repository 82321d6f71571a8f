#pragma once

#include <cstdint>
#include <string>

#include "balancer/pick.hpp"
#include "balancer/pool_snapshot.hpp"

namespace buildkit_lb::balancer {

/// What keeps a worker from taking a build.
enum class obstacle : std::uint8_t { none, tried, leaving, draining, down, full };

obstacle find_obstacle(const worker_view& view, const pick_context& context);

/// For people, after the worker's name: `down: …`, `at its cap of 2 builds`.
std::string describe(obstacle what, const worker_view& view);

/// Each worker and its obstacle, in one line: `w1 down: …; w2 has linux/arm64`.
std::string list_obstacles(const pool_snapshot& of, const pick_context& context, const platform_settings& platforms);

}  // namespace buildkit_lb::balancer
