#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/types.hpp"

namespace buildkit_lb::balancer {

/// `pools[].failover` of the configuration.
struct failover_settings {
    std::uint32_t attempts = 0;                    ///< how often a build may start again; 0: never
    std::size_t record = std::size_t{16} << 20;    ///< bytes of a build that are kept to repeat it
    duration liveness = std::chrono::seconds{30};  ///< so long a worker that has builds may be silent
};

/// Something that happened in a build after which it can't be repeated on another worker.
enum class unrepeatable : std::uint8_t {
    over_limit,        ///< more was asked of its worker than is kept (failover.record)
    called_elsewhere,  ///< calls of it come over another connection than its Solve: they can't be kept in order
    unknown_call,      ///< a method that is not known here was called: it may be anything
    container,         ///< containers run for its client, which it talks to
    upload,            ///< the client has sent an upload: what comes from a pipe can be read once
    session_gone,      ///< a session that it needs has ended
};

/// For people, after `the build can't start again elsewhere: `.
std::string_view describe(unrepeatable what);

/// What becomes of a build whose worker is lost, or has answered: the rules, as a state machine that is told what
/// happens and keeps what it has to. Pure. Owned by the build, used on its thread.
///
/// A worker is lost when its connection is (end, reset, or silence), or when it answers Solve as cancelled although
/// nobody has cancelled it: BuildKit up to v0.13 does so to all its builds when it is asked to stop. Any other answer
/// is the build's own end and is passed on, UNAVAILABLE too.
class failover {
public:
    explicit failover(failover_settings settings) : settings_{settings} {}

    /// Something happened that can't be undone. The first counts.
    void note(unrepeatable what);

    /// What is known only when it is asked for.
    struct moment {
        bool client_left = false;    ///< it has taken its Solve back, or is gone
        bool client_failed = false;  ///< it has returned an error of its own, which Solve will be answered with
        bool session_gone = false;   ///< of those that the build names
        bool uploaded = false;       ///< in one of them
    };

    enum class verdict : std::uint8_t {
        restart,  ///< on another worker
        fail,     ///< now, and `why` is what the client is told
        pass_on,  ///< what the worker answered is the build's end; for a client that has left, nothing is left to do
    };
    /// The result of a loss, for metrics.
    enum class outcome : std::uint8_t { none, restarted, exhausted, refused };
    struct decision {
        verdict what = verdict::pass_on;
        outcome counted = outcome::none;
        std::string why;
    };

    /// The connection to `worker` is lost; `detail` says how.
    decision lost(const std::string& worker, std::string_view detail, const moment& now);

    /// `worker` has answered Solve; `cancelled`: that somebody has cancelled the build.
    decision answered(const std::string& worker, bool cancelled, const moment& now);

    /// The names, in the order in which they were lost.
    const std::vector<std::string>& lost_workers() const { return lost_; }

    /// How often the build was begun: 1 while nothing was lost.
    std::size_t attempts() const { return restarts_ + 1; }

private:
    decision decide(const std::string& worker, std::string_view detail, const moment& now);
    std::optional<unrepeatable> reason(const moment& now) const;

    failover_settings settings_;
    std::optional<unrepeatable> noted_;
    std::vector<std::string> lost_;
    std::size_t restarts_ = 0;
};

/// The label in metrics; `none` has none.
std::string_view to_string(failover::outcome what);

}  // namespace buildkit_lb::balancer
