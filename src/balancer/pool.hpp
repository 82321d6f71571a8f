#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "balancer/admission.hpp"
#include "balancer/build_queue.hpp"
#include "balancer/open_workers.hpp"
#include "balancer/outlier_detector.hpp"
#include "balancer/pick.hpp"
#include "balancer/policy.hpp"
#include "balancer/pool_snapshot.hpp"
#include "balancer/slow_start.hpp"
#include "balancer/worker_table.hpp"
#include "core/failure.hpp"

namespace buildkit_lb::balancer {

/// A pool of workers: who is eligible, whom the policy chooses, and who waits. Pure logic without I/O; every member may
/// be called from any thread. It is called per build and per probe, never per byte, so one lock is enough.
///
/// Owned by a shared_ptr where builds queue: the end of a build tells its pool then (see lease).
class pool : public std::enable_shared_from_this<pool> {
public:
    /// Told of a failed connect of real traffic, on the thread that saw it.
    using failure_observer = std::function<void(const worker&, const failure&)>;
    /// Told of a worker that was ejected, with its last failure, or (nullptr) whose ejection is over. On any thread.
    using ejection_observer = std::function<void(const worker&, const ejection*, const std::string& why)>;

    pool(std::string name, std::vector<worker_settings> workers, std::unique_ptr<policy> chosen_by,
         queue_settings queue = {}, platform_settings platforms = {});

    const std::string& name() const { return name_; }

    /// The workers as they are now.
    std::shared_ptr<const pool_snapshot> snapshot() const;

    /// Chooses among eligible workers: not down, not draining, not going away, below their cap, not excluded; and not
    /// ejected, unless all that would be eligible are. Internal builds go round them in turn and leave the policy
    /// alone: clients make several of them for each build of the user's, and the policy's own turns are for those.
    /// nullopt: there is none; explain_no_pick() says why.
    std::optional<pick> pick_worker(const pick_context& context);

    /// Counts a build on the worker that something else than the policy names (the one its parent is on), even over
    /// its cap, and even while it drains or leaves as long as a build runs on it: the parent does not end before it has
    /// what it waits for. An ejection does not count here. nullopt when the worker is down or going away, or drains or
    /// leaves and has no build.
    std::optional<pick> take(const std::shared_ptr<balancer::worker>& w, const pick_context& context,
                             std::string_view reason);

    // ---- Builds that may wait ----

    /// A worker for an ordinary build, or a place in the queue if one that is at its cap could take it, or why neither.
    admission admit(admission_request request);

    /// The build waits no longer: its client is gone. Harmless when it has been served.
    void leave(const waiting_build& build);

    /// Gives free places to builds that wait, in order. Whoever can't be served is passed over: a build that waits for
    /// its only worker blocks nobody. Happens by itself when a build ends or a worker changes.
    void serve_queue();

    /// Ends the waits that have lasted too long. Call it every second or so.
    void expire_queue(time_point now);

    /// The invocations of which builds wait.
    std::vector<std::string> waiting_invocations() const;

    /// Gives the first waiting build of `invocation` a worker over its cap, because builds that run wait for it (see
    /// stall_rule.hpp). False when none waits, or no worker may take it.
    bool admit_over_cap(const std::string& invocation);

    std::size_t queue_length() const;
    std::string policy_name() const;
    queue_settings queue() const;
    platform_settings platforms() const;

    /// One line for people: each worker of the pool and why it could not take a build.
    std::string explain_no_pick(const pick_context& context) const;

    /// Sets what a probe found. `last_error` says why a worker is down.
    void set_health(const worker& w, worker_health health, std::string last_error);

    /// Sets what a probe learned of `w`.
    void set_facts(const worker& w, std::shared_ptr<const worker_facts> facts);

    /// An operator wants no new builds on the worker called `name`, or wants them again: kept apart from health, and
    /// kept while no worker is called so, for one that comes (back) by a reload or a name service. What runs there goes
    /// on, and linked targets of a bake that runs there still come (take()). False when it was so already.
    bool set_draining(const std::string& name, bool draining);
    bool set_draining(const worker& w, bool draining) { return set_draining(w.name(), draining); }

    /// The names of the workers that are drained.
    std::vector<std::string> drained() const;

    /// A build of `key` has gone well on `worker`: its policy may remember that.
    void build_succeeded(const std::string& key, const std::string& worker, double cached_share, time_point now);

    /// Keys whose warm workers are remembered.
    std::size_t remembered_keys() const;

    /// Goes up whenever what copy_warmth() gives changes.
    std::uint64_t warmth_changes() const;
    /// The next `most` remembered keys, those built longest ago first; fewer or none at the end. `from_start` begins a
    /// pass, and there is one at a time. The lock is held for one call, not for the pass: with 128 keys for about a
    /// tenth of a millisecond.
    std::vector<warm_key> copy_warmth(bool from_start, std::size_t most, time_point now);
    /// Puts back what was copied, in that order. Before any build.
    void restore_warmth(std::vector<warm_key> keys, time_point now);

    // ---- What real traffic says of workers (pool_outliers.cpp) ----

    /// A connection to `w` could not be made, or was lost with calls on it: it is down at once, and probes decide when
    /// it comes back. Does nothing to health when probes are off (they could never bring it back). Also counts as
    /// report_fault() does.
    void report_connect_failure(const worker& w, const failure& why, time_point now,
                                traffic_fault fault = traffic_fault::connect);

    /// Traffic to `w` has failed by its fault: several such in a row eject it (see outlier_detector). Does not count
    /// while it is down, and in a pool that ejects nobody.
    void report_fault(const worker& w, traffic_fault fault, const std::string& why, time_point now);

    /// Traffic to `w` has gone well.
    void report_success(const worker& w);

    /// Ends the ejections whose time is over. Call it every second or so.
    void expire_ejections(time_point now);

    /// Nobody is ejected before this was called.
    void set_outliers(const outlier_settings& settings, time_point now);

    void observe_ejections(ejection_observer observer);

    /// By whoever probes this pool from now on. Empty: nobody does, and what was found does not count any more.
    void observe_connect_failures(failure_observer observer);

    // ---- Workers that say GOAWAY (pool_goaway.cpp) ----

    /// Told that a worker is going away, on the thread that saw it.
    using goaway_observer = std::function<void(const worker&)>;

    /// `w` has said GOAWAY to a client's connection, as a server does that is about to stop: it takes no new build
    /// until clear_goaway(). True when that is news. Does nothing while nobody observes: nobody would find it back.
    bool report_goaway(const worker& w);

    /// A connection that was made since has found it up. True when it was going away.
    bool clear_goaway(const worker& w);

    /// Has `observer` told who is going away. Empty: nobody is any more, nor will be.
    void observe_goaways(goaway_observer observer);
    // ---- Slow start ----

    /// A worker that comes back (is up again, not ejected any more, undrained, added) gets a share of its weight that
    /// grows for so long (see slow_start). 0, as before this was called: all of it at once.
    void set_slow_start(duration window);

    /// The share that `w` has of its weight now: 1, unless it has just come back.
    double weight_share(const worker& w, time_point now) const;

    // ---- A new configuration ----

    /// The pool has these workers from now on. One that has the same name and address as before stays the same worker,
    /// with its builds and what is known of it, and gets the new settings. Those that are not named leave: they take no
    /// new build.
    void set_workers(std::vector<worker_settings> workers);

    /// Drops the workers that leave and have no build any more. Whether there were any.
    bool drop_idle_leavers();

    /// `chosen_by`: nullptr keeps the policy as it is; a new one is told what the old one remembers.
    void set_rules(std::unique_ptr<policy> chosen_by, queue_settings queue, platform_settings platforms,
                   time_point now);

private:
    /// Continuations to call without the lock.
    using news = std::vector<std::pair<std::function<void(admission)>, admission>>;

    /// Calls `change` and notes when the worker comes back by that.
    void change_view(worker_view& view, const std::function<void(worker_view&)>& change);
    static void compare_platforms(pool_snapshot& of);
    /// After the set of workers or their settings have changed.
    void make_table();
    void update(const worker& w, const std::function<void(worker_view&)>& change);
    bool set_going_away(const worker& w, bool going_away);
    std::optional<pick> choose(const pick_context& context);
    std::optional<choice> choose_internal(const candidates& from);
    /// Chooses for a build that has waited.
    std::optional<pick> choose_late(pick_context context);
    bool anyone_free();
    admission admit_locked(admission_request request);
    void serve_waiting(news& out);
    bool serve_warm(news& out);
    void serve(const build_queue::entry& build, std::optional<pick> chosen, news& out);
    static void give(const build_queue::entry& build, std::optional<pick> chosen, news& out);
    candidates candidates_for(const pick_context& context);
    admission refuse(rejection why, const pick_context& context, std::size_t waiting) const;
    static void tell(news& all);
    /// Counts a fault of the worker of `view`, which is about to be the current one, and ejects it if that is due.
    std::optional<ejection> blame(worker_view& view, traffic_fault fault, const std::string& why, time_point now);
    void end_ejections(const std::function<std::vector<const worker*>(outlier_detector&)>& whose, time_point now);
    void tell(const worker& w, const ejection* made, const std::string& why) const;

    const std::string name_;
    mutable std::mutex mutex_;
    std::shared_ptr<const pool_snapshot> snapshot_;   // guarded by mutex_
    std::set<std::string> drained_;                   // guarded by mutex_; names, of workers it does not have too
    queue_settings queue_settings_;                   // guarded by mutex_
    platform_settings platform_settings_;             // guarded by mutex_
    std::unique_ptr<policy> policy_;                  // guarded by mutex_
    std::uint64_t earlier_changes_ = 0;               // guarded by mutex_; of the policies before this one
    worker_table table_;                              // guarded by mutex_; the workers of snapshot_, in its order
    open_workers open_;                               // guarded by mutex_
    slow_start slow_;                                 // guarded by mutex_
    std::vector<std::uint32_t> slow_weights_;         // guarded by mutex_; kept for its memory
    std::vector<std::uint32_t> internal_candidates_;  // guarded by mutex_; kept for its memory
    std::size_t internal_rotation_ = 0;               // guarded by mutex_
    time_point latest_;                               // guarded by mutex_: the time as it was last told
    build_queue queue_;                               // guarded by mutex_
    outlier_detector outliers_;                       // guarded by mutex_
    failure_observer observer_;                       // guarded by mutex_
    goaway_observer goaway_observer_;                 // guarded by mutex_
    ejection_observer ejection_observer_;             // guarded by mutex_
    /// Places in a row that did not go to the first in the queue; guarded by mutex_.
    std::uint32_t passed_over_ = 0;
};

}  // namespace buildkit_lb::balancer
