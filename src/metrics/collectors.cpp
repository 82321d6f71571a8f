#include "metrics/collectors.hpp"

#include <optional>
#include <prometheus/metric_family.h>
#include <set>
#include <string_view>
#include <utility>

#include "metrics/process.hpp"

namespace buildkit_lb::metrics {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

MetricFamily gauge_family(const char* name, const char* help)
{
    MetricFamily family;
    family.name = name;
    family.help = help;
    family.type = MetricType::Gauge;
    return family;
}

class pool_collector : public prometheus::Collectable {
public:
    explicit pool_collector(pool_list pools) : pools_{std::move(pools)} {}

    std::vector<MetricFamily> Collect() const override
    {
        auto up =
            gauge_family("buildkit_lb_worker_up",
                         "0 when the worker is down; 1 otherwise, also before its first health check or without.");
        auto draining = gauge_family("buildkit_lb_worker_draining", "1 when an operator wants no new builds on it.");
        auto going = gauge_family("buildkit_lb_worker_going_away",
                                  "1 when it has said GOAWAY and was not found up since: it gets no new builds.");
        auto ejected = gauge_family("buildkit_lb_worker_ejected", "1 while it gets no new builds for its failures.");
        auto active = gauge_family("buildkit_lb_worker_active_builds",
                                   "Builds (protocol tcp: connections) on the worker that have not ended.");
        auto internal = gauge_family("buildkit_lb_worker_internal_builds",
                                     "Builds with Internal: true on the worker: the clients' own, never queued.");
        auto caps = gauge_family("buildkit_lb_worker_max_builds", "The worker's cap of builds; 0 when it has none.");
        auto waiting = gauge_family("buildkit_lb_queue_length", "Builds that wait for a worker.");
        auto keys = gauge_family("buildkit_lb_remembered_keys", "Affinity keys whose warm workers are known.");
        for (const auto& pool : pools_()) {
            ClientMetric known;
            known.label = {{"pool", pool->name()}};
            known.gauge.value = static_cast<double>(pool->remembered_keys());
            keys.metric.push_back(std::move(known));
            ClientMetric length;
            length.label = {{"pool", pool->name()}};
            length.gauge.value = static_cast<double>(pool->queue_length());
            waiting.metric.push_back(std::move(length));
            const auto snapshot = pool->snapshot();
            std::set<std::string_view> names;
            for (const auto& view : snapshot->workers) {
                // One that leaves may have a successor of the same name.
                if (!names.insert(view.worker->name()).second) {
                    continue;
                }
                ClientMetric metric;
                metric.label = {{"pool", pool->name()}, {"worker", view.worker->name()}};
                metric.gauge.value = view.health == balancer::worker_health::down ? 0 : 1;
                up.metric.push_back(metric);
                metric.gauge.value = view.draining ? 1 : 0;
                draining.metric.push_back(metric);
                metric.gauge.value = view.going_away ? 1 : 0;
                going.metric.push_back(metric);
                metric.gauge.value = view.ejected ? 1 : 0;
                ejected.metric.push_back(metric);
                metric.gauge.value = view.worker->active_builds();
                active.metric.push_back(metric);
                metric.gauge.value = view.worker->internal_builds();
                internal.metric.push_back(metric);
                metric.gauge.value = view.worker->max_builds();
                caps.metric.push_back(metric);
            }
        }
        std::vector<MetricFamily> out;
        for (auto* family : {&up, &draining, &going, &ejected, &active, &internal, &caps, &waiting, &keys}) {
            if (!family->metric.empty()) {
                out.push_back(std::move(*family));
            }
        }
        return out;
    }

private:
    const pool_list pools_;
};

class process_collector : public prometheus::Collectable {
public:
    std::vector<MetricFamily> Collect() const override
    {
        std::vector<MetricFamily> out;
        const auto add = [&](MetricType type, const char* name, const char* help, std::optional<double> value) {
            if (!value) {
                return;
            }
            auto family = gauge_family(name, help);
            family.type = type;
            ClientMetric metric;
            (type == MetricType::Counter ? metric.counter.value : metric.gauge.value) = *value;
            family.metric.push_back(metric);
            out.push_back(std::move(family));
        };
        const auto memory = process_memory();
        add(MetricType::Counter, "process_cpu_seconds_total", "User and system CPU time spent.", cpu_seconds());
        add(MetricType::Gauge, "process_open_fds", "Open file descriptors.", open_descriptors());
        add(MetricType::Gauge, "process_max_fds", "The most file descriptors it may open.", max_descriptors());
        if (memory) {
            add(MetricType::Gauge, "process_virtual_memory_bytes", "Virtual memory.",
                static_cast<double>(memory->virtual_bytes));
            add(MetricType::Gauge, "process_resident_memory_bytes", "Resident memory.",
                static_cast<double>(memory->resident_bytes));
        }
        add(MetricType::Gauge, "process_start_time_seconds", "When it started, in seconds since the epoch.", started_);
        return out;
    }

private:
    const std::optional<double> started_ = start_time();
};

}  // namespace

std::shared_ptr<const prometheus::Collectable> make_pool_collector(pool_list pools)
{
    return std::make_shared<pool_collector>(std::move(pools));
}

std::shared_ptr<const prometheus::Collectable> make_process_collector()
{
    return std::make_shared<process_collector>();
}

}  // namespace buildkit_lb::metrics
