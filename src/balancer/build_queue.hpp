#pragma once

#include <atomic>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>

#include "balancer/pick.hpp"
#include "core/types.hpp"

namespace buildkit_lb::balancer {

struct admission;

/// A build that waits for a worker. Made by pool::admit(); shared by the queue, which alone changes it under the pool's
/// lock, and by those who show where it stands, on any thread.
struct waiting_build {
    pick_context context;
    std::string key;         ///< whose turn it takes
    std::string invocation;  ///< builds that may wait for one another
    time_point since;
    std::function<void(admission)> then;

    /// Its place in the order, from 1, and how many wait.
    std::atomic<std::uint32_t> position{0};
    std::atomic<std::uint32_t> length{0};

    /// Its place in the order, for the queue.
    struct rank {
        std::uint64_t turn = 0;
        std::uint64_t arrival = 0;
        auto operator<=>(const rank&) const = default;
    };
    rank at;
};

/// In which order waiting builds are served: the keys take turns, and within a turn the first to come is the first
/// served. A key with fifty builds gets fifty turns one after the other, a key with one gets the next: this is
/// self-clocked fair queueing (S. J. Golestani, INFOCOM 1994) with every build of the same cost. With one key, or with
/// keys of one build each, it is first come, first served.
///
/// Pure; guarded by the pool's lock. Adding and removing renumber the positions behind: linear in the length.
class build_queue {
public:
    using entry = std::shared_ptr<waiting_build>;
    using order = std::map<waiting_build::rank, entry>;

    /// `ahead` of all that wait: for a build that had a worker already.
    void add(const entry& build, bool ahead);
    /// Takes it out because it was given a worker: its turn is over.
    void serve(const entry& build);
    /// Takes it out for another reason. False when it is not in.
    bool remove(const waiting_build& build);

    /// Who is next, next but one, …
    auto begin() const { return order_.begin(); }
    auto end() const { return order_.end(); }
    std::size_t size() const { return order_.size(); }
    bool empty() const { return order_.empty(); }

private:
    struct key_state {
        std::uint64_t last_turn = 0;
        std::size_t waiting = 0;
    };
    void renumber();

    order order_;
    std::unordered_map<std::string, key_state> keys_;  // of builds in order_
    std::uint64_t turn_ = 0;                           // the latest that was served
    std::uint64_t arrivals_ = 0;
};

}  // namespace buildkit_lb::balancer
