#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "balancer/pool_snapshot.hpp"

namespace buildkit_lb::proxy {

/// What the workers of a pool answer to LLBBridge/Ping, for answering it before a build is placed, and for all workers
/// it may be placed on: a client reads capabilities in one build and uses them in another. Known from probes (the facts
/// in the pool's snapshot), and learned from the answers that pass. Any thread.
class pong_memory {
public:
    using snapshot = std::shared_ptr<const balancer::pool_snapshot>;

    /// `pong` is a serialized PongResponse that `worker` has answered while the pool was `now`.
    void learn(const balancer::worker& worker, std::string_view pong, const snapshot& now);

    /// What all workers that take builds can do, as a serialized PongResponse; nullopt when one of them is not known.
    /// When there is none: what those can do that were known once. Cheap while the snapshot is the same.
    std::optional<std::string> of_all(const snapshot& now);

    /// The same of those that are known, whoever is not; nullopt when nobody is.
    std::optional<std::string> of_known(const snapshot& now);

private:
    struct learned_pong {
        std::string pong;
        // Of the worker at that time: with other facts it may be another daemon.
        std::shared_ptr<const balancer::worker_facts> facts;
    };
    struct answers {
        snapshot of;  // null: none yet
        std::optional<std::string> all;
        std::optional<std::string> known;
    };

    const answers& answers_for(const snapshot& now);

    std::mutex mutex_;
    std::map<std::string, learned_pong> learned_;  // by the worker's name
    answers latest_;
};

}  // namespace buildkit_lb::proxy
