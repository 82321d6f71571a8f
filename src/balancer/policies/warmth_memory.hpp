#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "balancer/warm_key.hpp"
#include "core/types.hpp"

namespace buildkit_lb::balancer {

/// Which workers are warm for a key: those that have built it, with the share of steps they had in their cache. Bounded
/// by the number of keys: the one that was built longest ago is forgotten first. Pure; guarded by the pool's lock.
class warmth_memory {
public:
    using warmth = warm_worker;

    /// More workers than this are not kept for one key.
    static constexpr std::size_t max_workers = 8;

    /// `capacity`: keys. `ttl`: how long a build keeps a worker warm.
    warmth_memory(std::size_t capacity, duration ttl) : capacity_{capacity}, ttl_{ttl} {}
    warmth_memory(const warmth_memory&) = delete;
    warmth_memory& operator=(const warmth_memory&) = delete;

    /// A build of `key` has ended on `worker`.
    void built(std::string_view key, std::string_view worker, double cached_share, time_point now);

    /// The workers that are warm for `key`, warmest first: the one that was first of all, then by the time of their
    /// latest builds. Whoever was first stays it for as long as it is warm: a key that had to go elsewhere comes back.
    /// Good until the next call.
    const std::vector<warmth>& find(std::string_view key, time_point now);

    std::size_t size() const { return keys_.size(); }

    // ---- Over a restart ----

    /// Goes up whenever something changes that is worth keeping.
    std::uint64_t changes() const { return changes_; }

    /// Begins to copy the keys; take_some() goes on. There is one such pass at a time.
    void begin_copy() { next_to_copy_ = by_age_.begin(); }
    /// The next `most` keys of the pass, those built longest ago first, without the workers that are cold by `now`;
    /// fewer or none at its end. A key that is built meanwhile comes once more.
    std::vector<warm_key> take_some(std::size_t most, time_point now);

    /// Puts back what was copied. Call it in the order of the copy, before any build.
    void restore(warm_key from, time_point now);

private:
    struct entry {
        std::vector<warmth> workers;
        std::list<std::string>::iterator age;
    };
    struct text_hash {
        using is_transparent = void;
        std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
    };

    void drop_cold(entry& of, time_point now) const;
    void make_latest(std::list<std::string>::iterator age);
    void forget_oldest();

    const std::size_t capacity_;
    const duration ttl_;
    std::unordered_map<std::string, entry, text_hash, std::equal_to<>> keys_;
    std::list<std::string> by_age_;  // oldest first
    std::list<std::string>::iterator next_to_copy_ = by_age_.end();
    std::uint64_t changes_ = 0;
};

}  // namespace buildkit_lb::balancer
