#pragma once

#include <chrono>
#include <set>
#include <string>
#include <vector>

#include "core/types.hpp"

namespace buildkit_lb::balancer {

/// How a build that has a worker gets on.
struct build_motion {
    std::string invocation;
    /// The latest message of its Status; when it was sent to its worker if there was none.
    time_point last_moved;
    /// A step of it runs, however silently, or nobody can tell because its client reads no Status.
    bool busy = false;
};

/// Finds invocations of a client whose running builds wait for others of the same invocation that are queued, and would
/// wait for ever: with deferred output, for example, buildx holds all targets back until each has begun.
///
/// The rule: an invocation is stalled when it has running builds, none of them has an open step, and none has moved for
/// `patience.first`. It stays under suspicion while it has builds in the queue: from then on `patience.next` without
/// movement is enough. Each time one of its queued builds gets a worker over its cap; as the others have no open step,
/// at most one build more than the cap is really at work.
///
/// Pure; used by one thread.
class stall_rule {
public:
    struct patience {
        duration first = std::chrono::seconds{10};
        duration next = std::chrono::seconds{1};
    };

    stall_rule() : stall_rule{patience{}} {}
    explicit stall_rule(patience how_long) : patience_{how_long} {}

    /// Which invocations of `waiting` are stalled. `running` are the builds of the pool that have a worker.
    std::vector<std::string> find(const std::vector<std::string>& waiting, const std::vector<build_motion>& running,
                                  time_point now);

private:
    const patience patience_;
    std::set<std::string> suspects_;  // invocations that were stalled and still wait
};

}  // namespace buildkit_lb::balancer
