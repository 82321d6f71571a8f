#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "core/types.hpp"

namespace buildkit_lb::balancer {

/// What people are told of one build: how it stood at one moment, or how it ended. Plain values, made by the proxy and
/// shown by the admin server. Empty texts are not known, or not yet.
struct build_summary {
    /// `queued`: it has no worker. `active`: it has one, or is being sent to it. `ended`: Solve has been answered.
    enum class stage : std::uint8_t { queued, active, ended };

    stage state = stage::queued;
    std::string ref;
    std::string pool;
    std::string invocation;  ///< of the client: its trace id, or its connection
    std::string key;
    std::string key_source;
    bool linked = false;                    ///< it takes another build as its input, or looks so
    std::string worker;                     ///< the last one
    std::vector<std::string> lost_workers;  ///< it was lost with these, in this order
    std::uint32_t attempts = 0;             ///< how often it was sent to a worker
    std::string policy;
    std::string reason;
    std::chrono::system_clock::time_point arrived;
    duration waited{};           ///< until it had its worker; until now while it has none
    duration took{};             ///< since it was sent to its worker
    std::uint32_t steps = 0;     ///< completed
    std::uint32_t cached = 0;    ///< of them, out of the cache
    std::uint32_t position = 0;  ///< in the queue, from 1; 0: it does not wait for a free worker
    std::uint32_t length = 0;    ///< of the queue

    // Of one that has ended.
    std::string result;  ///< `ok`, `error` or `canceled`
    std::string code;    ///< of gRPC
    std::string error;
};

}  // namespace buildkit_lb::balancer
