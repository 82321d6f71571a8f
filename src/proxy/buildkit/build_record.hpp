#pragma once

#include <atomic>
#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "balancer/build_queue.hpp"
#include "balancer/build_summary.hpp"
#include "balancer/stall_rule.hpp"
#include "buildkit/build_status.hpp"
#include "core/types.hpp"

namespace buildkit_lb::proxy {

/// What a build waits for before it has a worker.
struct build_wait_state {
    enum class reason : std::uint8_t { nothing, worker, parents };
    reason what = reason::nothing;
    buildkit::wall_time since;
    std::shared_ptr<const balancer::waiting_build> place;  ///< its place in the queue, when it waits for a worker
};

/// Where a build is, and why.
struct build_place {
    std::string worker;
    std::string policy;
    std::string reason;
    bool linked_to_parent = false;  ///< it was placed with the build that is its input
    time_point since;               ///< when it was sent there
};

/// What is known of one build while it runs: shared by the thread of its Solve, which makes it, and those of its
/// Status streams.
class build_record : public std::enable_shared_from_this<build_record> {
public:
    // Written before it is entered in the registry, constant afterwards.
    std::string ref;
    std::string invocation;  ///< of the client: its trace id, or its connection
    bool internal = false;
    bool linked = false;  ///< its request looks like it takes another build as an input
    std::size_t sessions = 0;
    std::string client;      ///< its address; empty: not over IP
    std::string tls_client;  ///< the name of the client's certificate; empty without one
    time_point arrived;

    // Written by the thread of Solve before key_is_known(), constant afterwards: not to be read before.
    std::string key;  ///< what it shares with other builds of its project; empty: nothing
    std::string key_source;

    /// `key` and `key_source` are written and stay so. By the thread of Solve.
    void key_is_known();

    /// What it waits for now. Any thread.
    void waits(build_wait_state for_what);
    build_wait_state waiting() const;

    /// It has no worker (any more), or its worker is being connected to and given its sessions, or Solve has been sent.
    enum class motion_state : std::uint8_t { none, being_sent, running };
    /// By the thread of Solve, or whichever gives it a worker.
    void moves(motion_state how);
    /// It is sent to a worker, for the first time or because it was lost with another. By the thread of Solve.
    void placed(build_place where);
    /// Where it is, or was last; nothing before it was placed. Any thread.
    std::optional<build_place> place() const;
    /// When it was sent to its first worker. Any thread.
    std::optional<time_point> first_placed() const;

    /// Its worker was lost with it. By the thread of Solve.
    void lost_with(std::string worker);
    /// By their names, in that order. Any thread.
    std::vector<std::string> lost_workers() const;
    /// Ends the steps that are open at its worker now, for the client: see build_status::close_open().
    std::string close_open_steps();

    /// A call of it has come over another connection than its Solve. Any thread.
    void note_call_elsewhere() { called_elsewhere_.store(true, std::memory_order_relaxed); }
    bool called_elsewhere() const { return called_elsewhere_.load(std::memory_order_relaxed); }

    /// How it gets on; nullopt while it has no worker. What is being sent is busy. Any thread.
    std::optional<balancer::build_motion> motion() const;

    /// A StatusResponse of the worker's has passed. Any thread.
    void status_message(std::string_view message);
    buildkit::status_totals totals() const;

    /// How it stands now. Any thread.
    balancer::build_summary summary(const std::string& pool, time_point now) const;

    void status_opened();
    void status_closed();
    /// `then` is called once no Status stream of the build is open; at once if none is.
    void when_status_closed(std::function<void(bool)> then);

private:
    mutable std::mutex mutex_;
    bool key_known_ = false;
    build_wait_state waiting_;
    motion_state motion_ = motion_state::none;
    std::optional<build_place> place_;
    std::optional<time_point> first_placed_;
    std::vector<std::string> lost_workers_;
    std::uint32_t attempts_ = 0;
    std::atomic<bool> called_elsewhere_{false};
    time_point last_moved_;
    buildkit::build_status status_;
    int open_status_streams_ = 0;
    std::function<void(bool)> on_status_closed_;
};

/// The builds that have not ended, by their Ref, and how the latest have. Any thread.
class build_registry {
public:
    /// How many that have ended are kept.
    void keep_recent(std::size_t count);

    void add(std::shared_ptr<build_record> build);
    /// It has ended so: instead of remove().
    void ended(const build_record& build, balancer::build_summary how);
    /// Those that have not ended, and the latest that have, the last first. Internal builds are left out.
    std::vector<balancer::build_summary> summaries(const std::string& pool, time_point now) const;

    /// Another build with the same Ref stays.
    void remove(const build_record& build);
    std::shared_ptr<build_record> find(const std::string& ref) const;
    std::size_t size() const;

    /// How the builds that have a worker get on; internal ones are left out.
    std::vector<balancer::build_motion> motions() const;

    /// Another build of the same invocation than `build` has not ended.
    bool has_siblings(const build_record& build) const;

private:
    void remove_locked(const build_record& build);

    mutable std::mutex mutex_;
    std::unordered_map<std::string, std::shared_ptr<build_record>> builds_;
    std::deque<std::shared_ptr<const balancer::build_summary>> recent_;  // the last first
    std::size_t most_recent_ = 1000;
};

}  // namespace buildkit_lb::proxy
