#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "balancer/policy.hpp"
#include "balancer/pool_snapshot.hpp"
#include "core/failure.hpp"

namespace buildkit_lb::balancer {

/// What a pick needs to know of the build it is for.
struct pick_context {
    /// Workers that were tried for this build and failed.
    std::vector<std::shared_ptr<worker>> excluded;
    /// Consider workers that are down too: the last resort of `protocol: tcp`, where a probe may know less than a try.
    bool include_down = false;
    /// How the build is counted. Internal builds may go to a worker that is at its cap.
    build_kind kind = build_kind::ordinary;
};

/// The outcome of a pick: the worker, counted from this moment on, and why it was chosen.
struct pick {
    lease held;
    std::string_view policy;
    std::string_view reason;

    const std::shared_ptr<balancer::worker>& worker() const { return held.where(); }
};

/// A pool of workers: who is eligible, and whom the policy chooses. Pure logic without I/O; every member may be called
/// from any thread. It is called per build and per probe, never per byte, so one lock is enough.
class pool {
public:
    /// Told of a failed connect of real traffic, on the thread that saw it.
    using failure_observer = std::function<void(const worker&, const failure&)>;

    pool(std::string name, std::vector<worker_settings> workers, std::unique_ptr<policy> chosen_by);

    const std::string& name() const { return name_; }
    std::string_view policy_name() const { return policy_name_; }

    /// The workers as they are now.
    std::shared_ptr<const pool_snapshot> snapshot() const;

    /// Chooses among eligible workers: not down, not draining, below their cap, not excluded. Internal builds go round
    /// them in turn and leave the policy alone: clients make several of them for each build of the user's, and the
    /// policy's own turns are for those.
    /// nullopt: there is none; explain_no_pick() says why.
    std::optional<pick> pick_worker(const pick_context& context);

    /// Counts a build on the worker that something else than the policy names (the one its parent is on), even over
    /// its cap. nullopt when it is down or draining.
    std::optional<pick> take(const std::shared_ptr<balancer::worker>& w, const pick_context& context,
                             std::string_view reason);

    /// One line for people: each worker of the pool and why it could not take a build.
    std::string explain_no_pick(const pick_context& context) const;

    /// Sets what a probe found. `last_error` says why a worker is down.
    void set_health(const worker& w, worker_health health, std::string last_error);

    /// Sets what a probe learned of `w`.
    void set_facts(const worker& w, std::shared_ptr<const worker_facts> facts);

    /// A connection to `w` could not be made: it is down at once, and probes decide when it comes back. Does nothing
    /// to health when probes are off (they could never bring it back).
    void report_connect_failure(const worker& w, const failure& why);

    /// Called once, before any traffic, by whoever probes this pool.
    void observe_connect_failures(failure_observer observer);

private:
    void update(const worker& w, const std::function<void(worker_view&)>& change);

    const std::string name_;
    const std::string policy_name_;
    mutable std::mutex mutex_;
    std::shared_ptr<const pool_snapshot> snapshot_;  // guarded by mutex_
    std::unique_ptr<policy> policy_;                 // guarded by mutex_
    std::size_t internal_rotation_ = 0;              // guarded by mutex_
    failure_observer observer_;                      // set before any traffic
};

}  // namespace buildkit_lb::balancer
