#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "balancer/pool.hpp"
#include "core/failure.hpp"
#include "core/types.hpp"

namespace buildkit_lb::balancer {

/// What placement needs to know of a build: what its Control/Solve says.
struct build_description {
    std::string ref;
    std::vector<std::string> sessions;  ///< every session it names
    bool internal = false;              ///< a build of the client's own (Internal: true): counted apart, never queued
    bool linked = false;                ///< takes another build of the same invocation as an input
};

/// Bounds of what is held and remembered. Each has a config key of the same name under `limits`.
struct placement_limits {
    duration hold_time = std::chrono::seconds{6};  ///< a call whose build does not come; a worker waits as long
    std::size_t held_calls = 10000;
    std::size_t held_bytes = 256 * 1024 * 1024;
    std::size_t remembered_builds = 100000;  ///< finished builds whose worker is still known
};

/// Which worker a build is on, or will be on: the correlation of calls that arrive in any order, on any connection and
/// any thread, by the build's Ref. Pure logic: no I/O, no clock of its own. Every member may be called from any thread;
/// continuations are called without the lock, on the thread that brought the news.
///
/// The life of a Ref: unknown → begin() → placed() → ended(), after which its worker is remembered for history calls.
/// Calls that name a Ref before placed() are held; they are released in the order in which they came.
class placement {
public:
    using worker_ptr = std::shared_ptr<worker>;

    /// What became of a wait for a build.
    struct outcome {
        enum class kind : std::uint8_t {
            placed,    ///< go to `where`
            finished,  ///< the build has ended; `where` is the worker that ran it
            failed,    ///< the balancer failed the build: end the call with the same error
            unknown,   ///< no build of that Ref came within the hold time
            refused,   ///< too many calls or bytes are held already
        };
        kind what = kind::unknown;
        worker_ptr where;
        failure why;
    };
    using continuation = std::function<void(const outcome&)>;
    using wait_id = std::uint64_t;
    static constexpr wait_id no_wait = 0;

    explicit placement(placement_limits limits) : limits_{limits} {}

    /// From now on. What is held or remembered already stays.
    void set_limits(const placement_limits& limits);

    /// A Control/Solve has arrived. False when a build of that Ref runs already.
    bool begin(const build_description& build);

    /// The build goes to `where`: its Solve has been sent. Releases the calls held for it and the children that waited
    /// to know where their parent is.
    void placed(const std::string& ref, worker_ptr where);

    /// Its worker was lost, and it will be placed() again: calls that come meanwhile are held, and linked builds wait
    /// to know where it will be.
    void lost(const std::string& ref);

    /// The balancer gives the build up before any worker saw it. Calls held for it end with `why`, and so do those that
    /// come later, as long as it is among the latest that failed: a client that asks for a build nobody knows tries for
    /// long.
    void failed(const std::string& ref, const failure& why);

    /// Its Solve has been answered, reset, or its client is gone. Harmless when there is no such build.
    void ended(const std::string& ref);

    /// Where is the build `ref`? `then` is called at once when that is known, else once it is; `bytes` is what the
    /// held call keeps in memory. Returns no_wait when `then` has been called already.
    wait_id wait_for(const std::string& ref, std::size_t bytes, time_point now, continuation then);

    /// The held call is gone: its continuation will not be called. Harmless when it has been called.
    void cancel_wait(wait_id id);

    /// Ends the waits whose hold time has passed. Call it every second or so.
    void expire(time_point now);

    /// The worker of a running or remembered build, if known.
    worker_ptr find(const std::string& ref) const;

    /// Called with the worker on which a linked build's inputs are, or nullptr when it may be placed freely.
    using parent_continuation = std::function<void(worker_ptr)>;

    /// What a LLBBridge/Solve tells of its build.
    struct build_inputs {
        std::vector<std::string> sessions;  ///< that it names
        std::string remote_source;          ///< the one repository or file from the web that it takes, if it is one
    };

    /// The LLBBridge/Solve of the build `ref` has been read. Answers the pending find_parent() and find_source(). One
    /// that comes before its Control/Solve is kept for it, as long as it is among the latest such.
    void inputs_known(const std::string& ref, build_inputs inputs);

    /// Called with build_inputs::remote_source.
    using source_continuation = std::function<void(std::string)>;

    /// What remote source does the build `ref` take? Answered once its first LLBBridge/Solve was read (inputs_known);
    /// never when none comes.
    void find_source(const std::string& ref, source_continuation then);

    /// On which worker are the parents of the linked build `ref`? Waits until its LLBBridge/Solve was read
    /// (inputs_known) and every parent it names is placed, failed or ended. With several parents: the worker with most
    /// of them. A parent on one of `not_on`, workers that were lost, is about to be placed elsewhere: it is waited for.
    void find_parent(const std::string& ref, parent_continuation then, std::vector<worker_ptr> not_on = {});

    /// A pending find_parent() of `ref` waits for a parent that is on one of its `not_on` still.
    bool parent_stays(const std::string& ref) const;

    /// What is held and known now, for metrics and for tests that nothing is left behind.
    struct counts {
        std::size_t active = 0;  ///< builds that have begun and not ended
        std::size_t held_calls = 0;
        std::size_t held_bytes = 0;
        std::size_t remembered = 0;
        std::size_t named_sessions = 0;
        std::size_t early_inputs = 0;  ///< of builds that have not begun
    };
    counts count() const;

private:
    struct wait {
        wait_id id = no_wait;
        std::size_t bytes = 0;
        continuation then;
    };
    struct build {
        build_description what;
        worker_ptr where;  // null until placed
        std::optional<build_inputs> inputs;
        parent_continuation find_parent;
        std::vector<worker_ptr> not_on;  // of find_parent
        source_continuation find_source;
    };
    /// Continuations to call once the lock is released.
    using news = std::vector<std::function<void()>>;

    static void call_all(const news& continuations);

    void hold(const std::string& ref, wait w, time_point now);
    void release(const std::string& ref, const outcome& what, news& out);
    void forget(const std::string& ref);
    void give_up(const std::string& ref, const failure& why, news& out);
    void remember(const std::string& ref, const worker_ptr& where);
    void settle_children(news& out);
    /// The builds that a linked one takes as its inputs, by Ref, and where they are.
    struct parents {
        std::map<std::string, worker_ptr> all;
        bool only_shared = false;  // all they have in common with it is a session that it names itself
    };
    parents parents_of(const build& child) const;
    static bool is_on(const worker_ptr& where, const std::vector<worker_ptr>& some);
    void try_find_parent(build& child, news& out);
    static void try_find_source(build& of, news& out);

    mutable std::mutex mutex_;
    placement_limits limits_;  // guarded by mutex_
    std::unordered_map<std::string, build> builds_;
    std::unordered_map<std::string, std::unordered_set<std::string>> builds_of_session_;
    std::unordered_set<std::string> orphans_;  // builds with a pending find_parent()

    wait_id last_wait_ = no_wait;
    std::size_t held_bytes_ = 0;
    std::unordered_map<std::string, std::list<wait>> waits_;  // by Ref, in order of arrival
    struct place_of_wait {
        std::string ref;
        std::list<wait>::iterator at;
    };
    std::unordered_map<wait_id, place_of_wait> wait_index_;
    std::list<std::pair<time_point, wait_id>> deadlines_;  // in order, but for a change of the hold time

    struct remembered {
        worker_ptr where;
        std::list<std::string>::iterator age;
    };
    std::unordered_map<std::string, remembered> remembered_;
    std::list<std::string> by_age_;  // oldest first

    static constexpr std::size_t max_early = 100;                 // each may name hundreds of sessions
    std::unordered_map<std::string, build_inputs> early_inputs_;  // of builds that have not begun
    std::list<std::string> early_by_age_;                         // oldest first

    static constexpr std::size_t max_failed = 1000;
    std::unordered_map<std::string, failure> failed_;
    std::list<std::string> failed_by_age_;  // oldest first
};

}  // namespace buildkit_lb::balancer
