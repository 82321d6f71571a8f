#pragma once

#include <cstdint>
#include <string>

#include "balancer/pick.hpp"
#include "balancer/pool_snapshot.hpp"

namespace buildkit_lb::balancer {

/// What keeps a worker from taking a build.
enum class obstacle : std::uint8_t { none, tried, lost, leaving, draining, down, going_away, ejected, full };

/// What keeps it from taking a build whatever its load is: all but `full`.
obstacle find_standing_obstacle(const worker_view& view, const pick_context& context);

/// `w` has said GOAWAY and was not found up since: connections that it has go on, new ones can't be made.
bool is_going_away(const pool_snapshot& in, const worker& w);

/// At so many builds of the context's kind it is full.
std::uint32_t find_limit(const worker& w, const pick_context& context);

obstacle find_obstacle(const worker_view& view, const pick_context& context);

/// For people, after the worker's name: `down: …`, `at its cap of 2 builds`.
std::string describe(obstacle what, const worker_view& view);

/// Each worker and its obstacle, in one line: `w1 down: …; w2 has linux/arm64`.
std::string list_obstacles(const pool_snapshot& of, const pick_context& context, const platform_settings& platforms);

}  // namespace buildkit_lb::balancer
