#include "metrics/instruments.hpp"

#include <algorithm>
#include <chrono>
#include <prometheus/text_serializer.h>

namespace buildkit_lb::metrics {
namespace {

// From a build out of the cache to the longest that people run: seconds.
const prometheus::Histogram::BucketBoundaries build_duration_buckets{0.5, 1,   2,   5,    10,   30,   60,   120,
                                                                     300, 600, 900, 1800, 3600, 7200, 14400};

// From no wait at all to the longest that people configure: seconds.
const prometheus::Histogram::BucketBoundaries queue_wait_buckets{0.1, 0.5, 1, 5, 10, 30, 60, 120, 300, 600, 1800, 3600};

prometheus::Labels pool_labels(std::string_view pool, const char* key, std::string_view value)
{
    return {{"pool", std::string{pool}}, {key, std::string{value}}};
}

prometheus::Labels worker_labels(std::string_view pool, std::string_view worker)
{
    return {{"pool", std::string{pool}}, {"worker", std::string{worker}}};
}

prometheus::Labels worker_labels(std::string_view pool, std::string_view worker, const char* key,
                                 std::string_view value)
{
    return {{"pool", std::string{pool}}, {"worker", std::string{worker}}, {key, std::string{value}}};
}

prometheus::Family<prometheus::Counter>& counter(prometheus::Registry& in, const char* name, const char* help)
{
    return prometheus::BuildCounter().Name(name).Help(help).Register(in);
}

}  // namespace

std::string_view to_string(build_result result)
{
    switch (result) {
        case build_result::ok: return "ok";
        case build_result::canceled: return "canceled";
        case build_result::error: break;
    }
    return "error";
}

listener_metrics::listener_metrics(const std::string& name, prometheus::Family<prometheus::Gauge>& connections,
                                   counters& connections_total, counters& bytes, counters& pauses,
                                   counters& protocol_errors)
    : name_{name},
      connections_{connections.Add({{"listener", name}})},
      connections_total_{connections_total.Add({{"listener", name}})},
      received_{bytes.Add({{"listener", name}, {"direction", "received"}})},
      sent_{bytes.Add({{"listener", name}, {"direction", "sent"}})},
      pauses_{pauses},
      protocol_errors_{protocol_errors}
{
    for (const char* reason : {"max_connections", "out_of_descriptors", "memory"}) {
        pauses_.Add({{"listener", name}, {"reason", reason}});
    }
}

void listener_metrics::accepting_paused(std::string_view reason)
{
    pauses_.Add({{"listener", name_}, {"reason", std::string{reason}}}).Increment();
}

void listener_metrics::protocol_error(std::string_view kind)
{
    protocol_errors_.Add({{"listener", name_}, {"kind", std::string{kind}}}).Increment();
}

instruments::instruments(std::string_view version)
    : connections_{prometheus::BuildGauge()
                       .Name("buildkit_lb_connections")
                       .Help("Open connections of clients.")
                       .Register(registry_)},
      connections_total_{counter(registry_, "buildkit_lb_connections_total", "Connections accepted from clients.")},
      bytes_{counter(registry_, "buildkit_lb_bytes_total", "Bytes received from clients and sent to them.")},
      accept_pauses_{counter(registry_, "buildkit_lb_accept_pauses_total",
                             "Times accepting was paused at a limit; clients wait in the backlog meanwhile.")},
      protocol_errors_{counter(registry_, "buildkit_lb_protocol_errors_total",
                               "Protocol violations of clients, each of which ended a connection or a stream.")},
      picks_{counter(registry_, "buildkit_lb_picks_total", "Choices of a worker, by policy and its reason.")},
      connect_failures_{counter(registry_, "buildkit_lb_upstream_connect_failures_total",
                                "Connections for clients that could not be made to a worker.")},
      goaways_{counter(registry_, "buildkit_lb_upstream_goaways_total",
                       "Connections on which a worker has said GOAWAY: it is about to stop.")},
      worker_protocol_errors_{counter(registry_, "buildkit_lb_worker_protocol_errors_total",
                                      "Protocol violations of workers, each of which ended a connection to one.")},
      health_check_failures_{
          counter(registry_, "buildkit_lb_health_check_failures_total", "Health checks a worker did not pass.")},
      ejections_{counter(registry_, "buildkit_lb_worker_ejections_total",
                         "Times a worker was ejected for failures in a row, by the kind of the last one.")},
      pool_call_failures_{counter(registry_, "buildkit_lb_pool_call_failures_total",
                                  "Calls to the whole pool that a worker was left out of.")},
      builds_{counter(registry_, "buildkit_lb_builds_total", "Builds that have ended, by their result.")},
      build_durations_{prometheus::BuildHistogram()
                           .Name("buildkit_lb_build_duration_seconds")
                           .Help("Time from sending a build to its worker to its end.")
                           .Register(registry_)},
      failovers_{counter(registry_, "buildkit_lb_failovers_total",
                         "Builds that were lost with a worker, by what became of them.")},
      build_steps_{counter(registry_, "buildkit_lb_build_steps_total",
                           "Completed build steps, by whether the worker had them cached.")},
      queue_waits_{prometheus::BuildHistogram()
                       .Name("buildkit_lb_queue_wait_seconds")
                       .Help("Time from a build's arrival to its worker, of every ordinary build that got one.")
                       .Register(registry_)},
      queue_rejected_{counter(registry_, "buildkit_lb_queue_rejected_total",
                              "Builds that got no worker: queue full, waited too long, or no worker was up.")},
      internal_refused_{counter(registry_, "buildkit_lb_internal_builds_refused_total",
                                "Internal builds refused at the limit of a client or of a worker.")},
      client_limits_{counter(registry_, "buildkit_lb_client_limit_refusals_total",
                             "Calls, builds and sessions refused at the limit of one client, by limit.")},
      rpcs_{counter(registry_, "buildkit_lb_rpcs_total", "Calls of clients that have ended, by gRPC status code.")},
      reloads_{counter(registry_, "buildkit_lb_config_reloads_total",
                       "Times the configuration was read again: taken over (ok) or refused (error).")},
      certificate_reloads_{
          counter(registry_, "buildkit_lb_certificate_reloads_total",
                  "Times the files of certificates had changed: taken over (ok), or the old ones kept (error).")},
      discovery_failures_{counter(registry_, "buildkit_lb_discovery_failures_total",
                                  "Lookups of discovery.dns that failed or found no address.")},
      state_writes_{
          counter(registry_, "buildkit_lb_state_writes_total", "Writes of the state file, by whether they went well.")},
      memory_limit_{prometheus::BuildGauge()
                        .Name("buildkit_lb_memory_limit_bytes")
                        .Help("Resident memory at which new connections wait; 0 without a limit.")
                        .Register(registry_)}
{
    for (const char* result : {"ok", "error"}) {
        reloads_.Add({{"result", result}});
        certificate_reloads_.Add({{"result", result}});
        state_writes_.Add({{"result", result}});
    }
    prometheus::BuildGauge()
        .Name("buildkit_lb_build_info")
        .Help("Always 1; the label tells the version that runs.")
        .Register(registry_)
        .Add({{"version", std::string{version}}})
        .Set(1);
}

instruments::~instruments() = default;

listener_metrics& instruments::for_listener(const std::string& name)
{
    const std::lock_guard lock{mutex_};
    auto& entry = listeners_[name];
    if (!entry) {
        entry.reset(
            new listener_metrics{name, connections_, connections_total_, bytes_, accept_pauses_, protocol_errors_});
    }
    return *entry;
}

void instruments::add_worker(std::string_view pool, std::string_view worker)
{
    for (const char* reason : {"refused", "timed_out"}) {
        connect_failures_.Add(worker_labels(pool, worker, "reason", reason));
        health_check_failures_.Add(worker_labels(pool, worker, "reason", reason));
    }
    for (const char* reason : {"connect", "reset", "unavailable"}) {
        ejections_.Add(worker_labels(pool, worker, "reason", reason));
    }
    for (const auto result : {build_result::ok, build_result::error, build_result::canceled}) {
        builds_.Add(worker_labels(pool, worker, "result", to_string(result)));
    }
    for (const char* result : {"restarted", "refused", "exhausted", "no_worker"}) {
        failovers_.Add(worker_labels(pool, worker, "result", result));
    }
    for (const char* cache : {"hit", "miss"}) {
        build_steps_.Add(worker_labels(pool, worker, "cache", cache));
    }
    goaways_.Add(worker_labels(pool, worker));
    duration_of(pool, worker);
}

void instruments::add_pool(std::string_view pool)
{
    queue_waits_.Add({{"pool", std::string{pool}}}, queue_wait_buckets);
    for (const char* reason : {"full", "timeout", "no_worker"}) {
        queue_rejected_.Add(pool_labels(pool, "reason", reason));
    }
    for (const char* limit : {"client", "worker"}) {
        internal_refused_.Add(pool_labels(pool, "limit", limit));
    }
    for (const char* limit : {"held_calls", "queued_builds", "sessions", "message_size"}) {
        client_limits_.Add(pool_labels(pool, "limit", limit));
    }
}

void instruments::queue_waited(std::string_view pool, duration waited)
{
    queue_waits_.Add({{"pool", std::string{pool}}}, queue_wait_buckets)
        .Observe(std::chrono::duration<double>{waited}.count());
}

void instruments::queue_rejected(std::string_view pool, std::string_view reason)
{
    queue_rejected_.Add(pool_labels(pool, "reason", reason)).Increment();
}

void instruments::internal_build_refused(std::string_view pool, std::string_view limit)
{
    internal_refused_.Add(pool_labels(pool, "limit", limit)).Increment();
}

void instruments::client_limit_reached(std::string_view pool, std::string_view limit)
{
    client_limits_.Add(pool_labels(pool, "limit", limit)).Increment();
}

void instruments::memory_limit(std::uint64_t bytes)
{
    memory_limit_.Add({}).Set(static_cast<double>(bytes));
}

void instruments::picked(std::string_view pool, std::string_view policy, std::string_view reason)
{
    picks_.Add({{"pool", std::string{pool}}, {"policy", std::string{policy}}, {"reason", std::string{reason}}})
        .Increment();
}

void instruments::upstream_connect_failed(std::string_view pool, std::string_view worker, std::string_view reason)
{
    connect_failures_.Add(worker_labels(pool, worker, "reason", reason)).Increment();
}

void instruments::upstream_goaway(std::string_view pool, std::string_view worker)
{
    goaways_.Add(worker_labels(pool, worker)).Increment();
}

void instruments::worker_protocol_error(std::string_view pool, std::string_view worker, std::string_view kind)
{
    worker_protocol_errors_.Add(worker_labels(pool, worker, "kind", kind)).Increment();
}

void instruments::health_check_failed(std::string_view pool, std::string_view worker, std::string_view reason)
{
    health_check_failures_.Add(worker_labels(pool, worker, "reason", reason)).Increment();
}

void instruments::worker_ejected(std::string_view pool, std::string_view worker, std::string_view reason)
{
    ejections_.Add(worker_labels(pool, worker, "reason", reason)).Increment();
}

void instruments::pool_call_failed(std::string_view pool, std::string_view worker, std::string_view method)
{
    pool_call_failures_.Add(worker_labels(pool, worker, "method", method)).Increment();
}

prometheus::Histogram& instruments::duration_of(std::string_view pool, std::string_view worker)
{
    return build_durations_.Add(worker_labels(pool, worker), build_duration_buckets);
}

void instruments::build_ended(std::string_view pool, std::string_view worker, build_result result, duration took)
{
    builds_.Add(worker_labels(pool, worker, "result", to_string(result))).Increment();
    duration_of(pool, worker).Observe(std::chrono::duration<double>{took}.count());
}

void instruments::failed_over(std::string_view pool, std::string_view worker, std::string_view result)
{
    failovers_.Add(worker_labels(pool, worker, "result", result)).Increment();
}

void instruments::steps_completed(std::string_view pool, std::string_view worker, std::uint64_t cached,
                                  std::uint64_t run)
{
    build_steps_.Add(worker_labels(pool, worker, "cache", "hit")).Increment(static_cast<double>(cached));
    build_steps_.Add(worker_labels(pool, worker, "cache", "miss")).Increment(static_cast<double>(run));
}

void instruments::state_written(bool well)
{
    state_writes_.Add({{"result", well ? "ok" : "error"}}).Increment();
}

void instruments::rpc_ended(std::string_view method, std::string_view code)
{
    const auto find = [&]() -> prometheus::Counter* {
        const auto known = rpcs_by_method_.find(method);
        if (known == rpcs_by_method_.end()) {
            return nullptr;
        }
        for (const auto& [name, counted] : known->second) {
            if (name == code) {
                return counted;
            }
        }
        return nullptr;
    };
    {
        const std::shared_lock lock{rpcs_mutex_};
        if (auto* counted = find()) {
            counted->Increment();
            return;
        }
    }
    const std::unique_lock lock{rpcs_mutex_};
    auto* counted = find();  // another thread may have been quicker
    if (counted == nullptr) {
        counted = &rpcs_.Add({{"method", std::string{method}}, {"code", std::string{code}}});
        rpcs_by_method_[std::string{method}].emplace_back(code, counted);
    }
    counted->Increment();
}

void instruments::discovery_failed(std::string_view pool)
{
    discovery_failures_.Add({{"pool", std::string{pool}}}).Increment();
}

void instruments::config_reloaded(bool taken)
{
    reloads_.Add({{"result", taken ? "ok" : "error"}}).Increment();
}

void instruments::certificates_reloaded(bool well)
{
    certificate_reloads_.Add({{"result", well ? "ok" : "error"}}).Increment();
}

void instruments::add_collector(std::shared_ptr<const prometheus::Collectable> collector)
{
    const std::lock_guard lock{mutex_};
    collectors_.push_back(std::move(collector));
}

std::string instruments::expose() const
{
    auto families = registry_.Collect();
    {
        const std::lock_guard lock{mutex_};
        for (const auto& collector : collectors_) {
            auto more = collector->Collect();
            std::move(more.begin(), more.end(), std::back_inserter(families));
        }
    }
    std::sort(families.begin(), families.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
    return prometheus::TextSerializer{}.Serialize(families);
}

}  // namespace buildkit_lb::metrics
