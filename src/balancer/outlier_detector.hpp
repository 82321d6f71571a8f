#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/types.hpp"

namespace buildkit_lb::balancer {

class worker;

/// `pools[].outlier_detection`.
struct outlier_settings {
    std::uint32_t consecutive_failures = 0;  ///< 0: nobody is ejected
    duration ejection_time = std::chrono::seconds{30};
    duration max_ejection_time = std::chrono::seconds{300};  ///< one that is less than ejection_time counts as that
    std::uint32_t max_ejected = 50;                          ///< percent of the pool; 0: nobody is ejected

    bool operator==(const outlier_settings&) const = default;
};

/// What real traffic can hold against a worker. Never what a build that ran there has answered.
enum class traffic_fault : std::uint8_t {
    connect,      ///< it could not be connected to, or did not speak
    reset,        ///< its connection was lost, or it reset a build
    unavailable,  ///< it answered UNAVAILABLE for itself
};
/// The label in metrics and logs.
std::string_view to_string(traffic_fault fault);

/// A worker gets no new builds for a while.
struct ejection {
    traffic_fault fault = traffic_fault::connect;  ///< the last of those that led to it
    std::uint32_t failures = 0;                    ///< in a row
    std::uint32_t number = 0;                      ///< how many there have been lately, with this one
    time_point until;
    duration lasts{};
};

/// Decides from real traffic alone which workers of a pool rest: passive health checking, as Envoy's outlier detection
/// does it for consecutive gateway and local-origin failures (its architecture overview, "Outlier detection").
///
/// `consecutive_failures` faults in a row eject a worker at once; anything that goes well begins the row again. It is
/// ejected for `ejection_time` times the number of its ejections so far, at most for `max_ejection_time`. For each
/// `ejection_time` that it has not been ejected since, one of them is forgotten. No more workers than `max_ejected` of
/// the pool are ejected at once, but one always may be: who fails while that many are has its turn at its next failure.
///
/// Pure: it is told the time. Workers are only compared by address. Owned by a pool and guarded by its lock.
class outlier_detector {
public:
    explicit outlier_detector(const outlier_settings& settings = {}) : settings_{settings} {}

    /// Traffic to `w`, of a pool of so many workers, has failed. The ejection that it caused, if it did.
    std::optional<ejection> failed(const worker& w, traffic_fault fault, std::size_t workers, time_point now);

    /// Traffic to `w` has gone well.
    void succeeded(const worker& w);

    /// Ends the ejections whose time is over, and says whose they were.
    std::vector<const worker*> expire(time_point now);

    /// Ejections that run keep their end, unless nobody is to be ejected any more: who was then.
    std::vector<const worker*> use(const outlier_settings& settings, time_point now);

    /// `w` is not of the pool any more.
    void forget(const worker& w);

    std::size_t ejected() const { return ejected_; }

private:
    struct record {
        std::uint32_t failures = 0;   // in a row
        std::uint32_t ejections = 0;  // as of `ended`
        std::optional<time_point> until;
        time_point ended;  // of the latest ejection
    };

    bool is_off() const { return settings_.consecutive_failures == 0 || settings_.max_ejected == 0; }
    std::size_t most_ejected(std::size_t workers) const;
    std::uint32_t ejections_left(const record& of, time_point now) const;
    void end(record& of, time_point now);

    outlier_settings settings_;
    std::unordered_map<const worker*, record> records_;  // of workers that have failed
    std::size_t ejected_ = 0;
};

}  // namespace buildkit_lb::balancer
