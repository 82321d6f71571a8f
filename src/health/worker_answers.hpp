#pragma once

#include <string>
#include <string_view>

#include "balancer/worker_facts.hpp"
#include "buildkit/grpc_status.hpp"
#include "core/endpoint.hpp"
#include "core/failure.hpp"

namespace buildkit_lb::health {

/// What a worker's answers to the calls of a probe mean. Pure; any thread.

/// The facts in a serialized ListWorkersResponse: everything but `info` and `pong`, with the records as they came.
/// What can't be read, lists nobody, or names a worker without an ID is errc::protocol: no build could run there.
checked<balancer::worker_facts> read_worker_list(std::string_view response);

/// A serialized grpc.health.v1.HealthCheckResponse says that the server serves; else what is wrong, for the tracker.
result<void> read_serving(const endpoint& worker, std::string_view response);

/// Adds a serialized InfoResponse. False when it can't be read.
bool add_info(balancer::worker_facts& facts, std::string_view response);

/// The daemon that answered may be another one than before: another ID, version or list of platforms.
bool is_other_daemon(const balancer::worker_facts& before, const balancer::worker_facts& now);

/// They say the same. Serialized maps have no order, so that bytes alone don't tell.
bool say_the_same(const balancer::worker_facts& a, const balancer::worker_facts& b);

/// Why a call brought nothing, for the tracker and for people: `tcp://10.0.0.7:1234: Connection refused`, or `…:
/// ListWorkers: PERMISSION_DENIED: …`. `connected`: there was an HTTP/2 connection when it ended.
failure call_failure(const endpoint& worker, std::string_view call, buildkit::grpc_code code, std::string_view message,
                     bool connected);

}  // namespace buildkit_lb::health
