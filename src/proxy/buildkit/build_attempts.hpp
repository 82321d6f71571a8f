#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "balancer/failover.hpp"
#include "buildkit/build_recording.hpp"
#include "buildkit/pool_answers.hpp"
#include "buildkit/ref_map.hpp"
#include "core/event.hpp"
#include "proxy/buildkit/build_record.hpp"
#include "proxy/buildkit/link.hpp"

namespace buildkit_lb::proxy {

class buildkit_connection;

/// One run of a build on one worker. What is sent for the build goes there as long as build_attempts says that the
/// attempt goes on; nothing that the worker answers after that may reach the client.
struct attempt {
    std::size_t number;  ///< from 1
    std::shared_ptr<balancer::worker> where;
    link_table::link_ptr to;  ///< replaced when it takes no more calls
    buildkit::ref_map refs;   ///< complete when the attempt is open to calls
};
using attempt_ptr = std::shared_ptr<attempt>;

/// A build that may run several times, on one worker after the other, without its client noticing: what its calls
/// share. Solve's flow (run_attempts.hpp) moves it from attempt to attempt; each other call runs on the attempt of the
/// moment, says so when that is lost, and begins again on the next.
///
///     begin() ─▶ begun ─ open_to_calls() ─▶ open ─ end() ─▶ over: what runs may come to its end
///       ▲          │                          │
///       └──────────┴── lost(), restarting() ◀─┘       fail() at any time ─▶ over: every call ends with the same
///
/// Owned by Solve's flow and by the flows of the calls; lives on the thread of their connection.
class build_attempts {
public:
    /// `solve` is the request of its Control/Solve.
    build_attempts(buildkit_connection& client, std::shared_ptr<build_record> record, balancer::failover rules,
                   std::string solve);

    buildkit_connection& client() { return client_; }
    build_record& record() { return *record_; }
    balancer::failover& rules() { return rules_; }
    /// Tell check_size() of what was added.
    buildkit::build_recording& recording() { return recording_; }

    /// The build needs these sessions, wherever it runs.
    void needs(const std::vector<std::string>& sessions);
    const std::vector<std::string>& sessions() const { return sessions_; }

    /// A recording that has become too large is noted and logged, once.
    void check_size();
    /// The client has returned an error of its own.
    void client_failed() { client_failed_ = true; }

    /// What the rules want to know.
    balancer::failover::moment now() const;

    // ---- Solve's ----

    attempt_ptr begin(link_table::link_ptr to);
    /// What the client has been answered before has been repeated: its calls may go on.
    void open_to_calls();
    /// The build starts again: the steps that are open are closed for the client.
    void restarting();
    /// Solve has been answered, or taken back by its client. Other calls may end by themselves, where they are.
    void end();
    /// The balancer gives the build up: other calls end so too, after Solve.
    void fail(buildkit::grpc_ending how);

    // ---- Everybody's ----

    /// The connection to the attempt's worker is lost. The first to say so is heard; false: the build is over, and the
    /// loss is the call's own.
    bool lost(const attempt& where, std::string detail);
    /// How, if the latest attempt was lost.
    const std::string& loss() const { return loss_; }

    bool goes_on(const attempt& one) const { return current_.get() == &one; }
    bool over() const { return over_; }
    /// How the calls of a build end that was given up.
    const std::optional<buildkit::grpc_ending>& failed() const { return failed_; }

    /// Present when it has begun and is not lost.
    const attempt_ptr& begun() const { return current_; }
    /// The same when it is open to calls.
    attempt_ptr open() const { return open_ ? current_ : nullptr; }

    /// For each restart what a Status has to be told first (framed, maybe empty): see build_status::close_open().
    const std::vector<std::string>& closings() const { return closings_; }

private:
    friend class attempt_watch;
    void wake();

    buildkit_connection& client_;
    std::shared_ptr<build_record> record_;
    balancer::failover rules_;
    buildkit::build_recording recording_;
    std::vector<std::string> sessions_;
    bool too_large_ = false;
    bool client_failed_ = false;
    std::size_t attempts_ = 0;
    attempt_ptr current_;
    bool open_ = false;
    bool over_ = false;
    std::optional<buildkit::grpc_ending> failed_;
    std::string loss_;
    std::vector<std::string> closings_;
    std::set<event*> watches_;
};

/// What the flow of one call waits with: wakes up when anything of its build changes, and when its own upstream_call
/// has news. Lives in the flow.
class attempt_watch {
public:
    explicit attempt_watch(std::shared_ptr<build_attempts> of);
    attempt_watch(const attempt_watch&) = delete;
    attempt_watch& operator=(const attempt_watch&) = delete;
    ~attempt_watch();

    build_attempts& build() const { return *build_; }

    /// For upstream_call. Not to be called when this object is gone.
    std::function<void()> on_news()
    {
        return [this] { event_.set(); };
    }

    /// Waits for news that come from now on: look at everything before. False at `deadline`.
    boost::asio::awaitable<bool> news(time_point deadline = time_point::max());

    /// The attempt that is open to calls, waited for. nullptr: the build is over.
    boost::asio::awaitable<attempt_ptr> open();

private:
    std::shared_ptr<build_attempts> build_;
    event event_;
};

}  // namespace buildkit_lb::proxy
