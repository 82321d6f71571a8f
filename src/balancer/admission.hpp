#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "balancer/build_queue.hpp"
#include "balancer/pick.hpp"
#include "core/failure.hpp"
#include "core/types.hpp"

namespace buildkit_lb::balancer {

/// Bounds of a pool's queue: `pools[].queue` of the configuration.
struct queue_settings {
    std::uint32_t max_length = 1000;  ///< 0: no queue
    duration timeout = std::chrono::seconds{600};
    bool wait_when_empty = false;  ///< queue also when no worker of the pool may take builds at all
};

/// Why a build got no worker.
enum class rejection : std::uint8_t { none, full, timeout, no_worker, no_match, internal_limit };
/// The label in metrics.
std::string_view to_string(rejection why);

/// A build that wants a worker.
struct admission_request {
    pick_context context;
    std::string key;             ///< the keys of waiting builds take turns
    std::string invocation;      ///< builds of one invocation of a client may wait for one another
    bool ahead = false;          ///< it had a worker that turned out to be gone: first in the queue
    bool waits_for_any = false;  ///< it waits for a worker that is down, too, whatever queue_settings say
    time_point now;
    /// Called once, on any thread, when the outcome is `waiting` and the build does not leave the queue before.
    std::function<void(admission)> then;
};

/// What came of it: exactly one of a worker, a place in the queue, or a rejection.
struct admission {
    std::optional<pick> chosen;
    std::shared_ptr<waiting_build> waiting;
    rejection refused = rejection::none;
    failure why;  ///< of a rejection, for the client
};

}  // namespace buildkit_lb::balancer
