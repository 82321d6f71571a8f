#include "proxy/buildkit/collector.hpp"

#include <array>
#include <prometheus/metric_family.h>
#include <utility>

namespace buildkit_lb::proxy {
namespace {

struct held {
    balancer::placement::counts placement;
    std::size_t calls;
    std::size_t sessions;
    std::size_t digests;
    std::size_t refs;
    std::size_t traces;
    std::size_t recorded_bytes;
};

struct gauge {
    const char* name;
    const char* help;
    std::size_t (*value)(const held&);
};

constexpr std::array gauges{
    gauge{"buildkit_lb_builds", "Builds whose Solve has not ended, placed or not; internal ones too.",
          [](const held& h) { return h.placement.active; }},
    gauge{"buildkit_lb_held_calls", "Calls that wait for their build to be placed.",
          [](const held& h) { return h.placement.held_calls; }},
    gauge{"buildkit_lb_held_bytes", "Bytes of the calls that wait.",
          [](const held& h) { return h.placement.held_bytes; }},
    gauge{"buildkit_lb_recorded_bytes", "Bytes kept of running builds to start them again elsewhere (failover.record).",
          [](const held& h) { return h.recorded_bytes; }},
    gauge{"buildkit_lb_remembered_builds", "Finished builds whose worker is still known.",
          [](const held& h) { return h.placement.remembered; }},
    gauge{"buildkit_lb_remembered_digests", "Digests of content whose worker is known.",
          [](const held& h) { return h.digests; }},
    gauge{"buildkit_lb_remembered_refs", "Builds seen in workers' histories, whose worker is known.",
          [](const held& h) { return h.refs; }},
    gauge{"buildkit_lb_remembered_traces", "Traces of builds whose workers are known.",
          [](const held& h) { return h.traces; }},
    gauge{"buildkit_lb_calls", "Calls of clients that have not ended, without their sessions.",
          [](const held& h) { return h.calls; }},
    gauge{"buildkit_lb_sessions", "Sessions of clients that have not ended.", [](const held& h) { return h.sessions; }},
};

class buildkit_collector : public prometheus::Collectable {
public:
    explicit buildkit_collector(std::function<std::vector<const buildkit_pool*>()> pools) : pools_{std::move(pools)} {}

    std::vector<prometheus::MetricFamily> Collect() const override
    {
        std::vector<prometheus::MetricFamily> families(gauges.size());
        for (std::size_t i = 0; i < gauges.size(); ++i) {
            families[i].name = gauges[i].name;
            families[i].help = gauges[i].help;
            families[i].type = prometheus::MetricType::Gauge;
        }
        for (const auto* pool : pools_()) {
            const held now{pool->placement.count(),
                           pool->calls.load(std::memory_order_relaxed),
                           pool->sessions.size(),
                           pool->digests.size(),
                           pool->refs.size(),
                           pool->traces.size(),
                           pool->recorded_bytes.load(std::memory_order_relaxed)};
            for (std::size_t i = 0; i < gauges.size(); ++i) {
                prometheus::ClientMetric metric;
                metric.label = {{"pool", pool->pool.workers->name()}};
                metric.gauge.value = static_cast<double>(gauges[i].value(now));
                families[i].metric.push_back(std::move(metric));
            }
        }
        return families;
    }

private:
    const std::function<std::vector<const buildkit_pool*>()> pools_;
};

}  // namespace

std::shared_ptr<const prometheus::Collectable> make_buildkit_collector(
    std::function<std::vector<const buildkit_pool*>()> pools)
{
    return std::make_shared<buildkit_collector>(std::move(pools));
}

}  // namespace buildkit_lb::proxy
