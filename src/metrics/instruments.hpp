#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <prometheus/collectable.h>
#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/types.hpp"

/// What the process counts, under the names dashboards and alerts rely on. Labels have bounded values: never a ref, a
/// session, a key or anything a client can choose.
namespace buildkit_lb::metrics {

/// The instruments of one listener. Handed out by instruments::for_listener() and kept by its user: an event on the
/// data path is one or two atomic additions. Any thread.
class listener_metrics {
public:
    void connection_opened()
    {
        connections_.Increment();
        connections_total_.Increment();
    }
    void connection_closed() { connections_.Decrement(); }

    /// Bytes that came from clients.
    void received(std::size_t bytes) { received_.Increment(static_cast<double>(bytes)); }
    /// Bytes that went to clients.
    void sent(std::size_t bytes) { sent_.Increment(static_cast<double>(bytes)); }

    /// Accepting was paused because of `reason`: `max_connections`, `out_of_descriptors` or `memory`.
    void accepting_paused(std::string_view reason);

    /// A client broke a protocol and its connection or stream was closed. `kind` is one of the names in the code.
    void protocol_error(std::string_view kind);

private:
    friend class instruments;
    using counters = prometheus::Family<prometheus::Counter>;

    listener_metrics(const std::string& name, prometheus::Family<prometheus::Gauge>& connections,
                     counters& connections_total, counters& bytes, counters& pauses, counters& protocol_errors);

    const std::string name_;
    prometheus::Gauge& connections_;
    prometheus::Counter& connections_total_;
    prometheus::Counter& received_;
    prometheus::Counter& sent_;
    counters& pauses_;
    counters& protocol_errors_;
};

enum class build_result : std::uint8_t { ok, error, canceled };
std::string_view to_string(build_result result);

/// All instruments of the process. Made by main before anything that counts and destroyed after it; every member may be
/// called from any thread. What is called per build or per connection looks its counter up by its labels.
class instruments {
public:
    /// `version` is shown by buildkit_lb_build_info.
    explicit instruments(std::string_view version = "unknown");
    instruments(const instruments&) = delete;
    instruments& operator=(const instruments&) = delete;
    ~instruments();

    /// The instruments of a listener; the reference stays good for as long as this object lives.
    listener_metrics& for_listener(const std::string& name);

    /// Makes the series of a pool exist at zero.
    void add_pool(std::string_view pool);

    /// Makes the series of a worker exist at zero, so that the first failure or build is seen as an increase.
    void add_worker(std::string_view pool, std::string_view worker);

    void picked(std::string_view pool, std::string_view policy, std::string_view reason);

    /// An ordinary build got its worker, `waited` after its Solve had come.
    void queue_waited(std::string_view pool, duration waited);
    /// A build got no worker. `reason` is the label of a balancer::rejection.
    void queue_rejected(std::string_view pool, std::string_view reason);
    /// An internal build was refused at the limit of its `client` or of a `worker`.
    void internal_build_refused(std::string_view pool, std::string_view limit);

    /// A client, which is one connection, wanted more than it may have at once of `limit`: `held_calls`,
    /// `queued_builds` or `sessions`; or sent a message beyond `message_size`.
    void client_limit_reached(std::string_view pool, std::string_view limit);

    /// `reason` is the label of an errc.
    void upstream_connect_failed(std::string_view pool, std::string_view worker, std::string_view reason);
    /// `worker` has said GOAWAY on a connection of ours.
    void upstream_goaway(std::string_view pool, std::string_view worker);
    /// `worker` broke HTTP/2, and the connection was closed. `kind` as for clients.
    void worker_protocol_error(std::string_view pool, std::string_view worker, std::string_view kind);
    void health_check_failed(std::string_view pool, std::string_view worker, std::string_view reason);

    /// `worker` was ejected. `reason` is the label of a balancer::traffic_fault.
    void worker_ejected(std::string_view pool, std::string_view worker, std::string_view reason);

    /// `worker` was left out of a call to the whole pool: unreachable, lost, down, or silent for too long.
    void pool_call_failed(std::string_view pool, std::string_view worker, std::string_view method);

    /// A build that was placed on `worker` has ended, `took` after its Solve was sent there.
    void build_ended(std::string_view pool, std::string_view worker, build_result result, duration took);

    /// A build was lost with `worker`: it was sent to another one (`restarted`), could not be sent again (`refused`),
    /// has lost too many (`exhausted`), or no other worker could take it (`no_worker`).
    void failed_over(std::string_view pool, std::string_view worker, std::string_view result);

    /// Steps of a build that have completed: out of the cache, or by running.
    void steps_completed(std::string_view pool, std::string_view worker, std::uint64_t cached, std::uint64_t run);

    /// The state file was written, or could not be.
    void state_written(bool well);

    /// A call of a client has ended. `method` and `code` (`OK`, `UNAVAILABLE`, …) come from fixed tables, with `other`
    /// for a method that is not in its table. Cheap enough for every call: a shared lock and one hash.
    void rpc_ended(std::string_view method, std::string_view code);

    /// A name of `discovery` could not be looked up, or has no address.
    void discovery_failed(std::string_view pool);

    /// Files of certificates had changed: the new ones were taken over, or can't be.
    void certificates_reloaded(bool well);

    /// The configuration was read again: taken over, or refused.
    void config_reloaded(bool taken);

    /// The bound of resident memory that new connections wait at; 0: none.
    void memory_limit(std::uint64_t bytes);

    /// Adds what is read at scrape time only (pool state, the process). Kept until the end.
    void add_collector(std::shared_ptr<const prometheus::Collectable> collector);

    /// Everything, in the Prometheus text format 0.0.4, sorted by name.
    std::string expose() const;

private:
    using counters = prometheus::Family<prometheus::Counter>;
    using gauges = prometheus::Family<prometheus::Gauge>;
    using histograms = prometheus::Family<prometheus::Histogram>;

    prometheus::Histogram& duration_of(std::string_view pool, std::string_view worker);

    prometheus::Registry registry_;
    gauges& connections_;
    counters& connections_total_;
    counters& bytes_;
    counters& accept_pauses_;
    counters& protocol_errors_;
    counters& picks_;
    counters& connect_failures_;
    counters& goaways_;
    counters& worker_protocol_errors_;
    counters& health_check_failures_;
    counters& ejections_;
    counters& pool_call_failures_;
    counters& builds_;
    histograms& build_durations_;
    counters& failovers_;
    counters& build_steps_;
    histograms& queue_waits_;
    counters& queue_rejected_;
    counters& internal_refused_;
    counters& client_limits_;
    counters& rpcs_;
    counters& reloads_;
    counters& certificate_reloads_;
    counters& discovery_failures_;
    counters& state_writes_;
    gauges& memory_limit_;

    struct text_hash {
        using is_transparent = void;
        std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
    };
    /// The counters of one method; there are few codes, so a search is quicker than a hash.
    using code_counters = std::vector<std::pair<std::string, prometheus::Counter*>>;
    mutable std::shared_mutex rpcs_mutex_;
    std::unordered_map<std::string, code_counters, text_hash, std::equal_to<>>
        rpcs_by_method_;  // guarded by rpcs_mutex_

    mutable std::mutex mutex_;
    std::map<std::string, std::unique_ptr<listener_metrics>> listeners_;      // guarded by mutex_
    std::vector<std::shared_ptr<const prometheus::Collectable>> collectors_;  // guarded by mutex_
};

}  // namespace buildkit_lb::metrics
