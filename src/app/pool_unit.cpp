#include "app/pool_unit.hpp"

#include "app/settings.hpp"
#include "health/ejection_report.hpp"

namespace buildkit_lb::app {

namespace asio = boost::asio;

pool_unit::pool_unit(const config::pool& from, const config::limits& limits, asio::any_io_executor control,
                     metrics::instruments& instruments, certificates::client_ptr tls)
    : upstream{std::make_shared<balancer::pool>(from.name, workers_of(from, limits), make_policy(from),
                                                queue_settings_of(from), platform_settings_of(from)),
               duration{from.connect_timeout}, duration{from.failover.liveness}},
      buildkit{upstream, placement_limits_of(limits)},
      control_{control},
      instruments_{instruments},
      settings_{from},
      limits_{limits},
      ending_{control}
{
    upstream.tls.store(std::move(tls));
    upstream.send_proxy = proxy_version_of(from);
    prober_ = make_prober();
    buildkit.builds.keep_recent(limits.recent_builds);
    upstream.workers->set_outliers(outlier_settings_of(from), clock::now());
    upstream.workers->set_slow_start(from.slow_start);
    upstream.workers->observe_ejections(health::ejection_report(from.name, instruments));
    make_series();
}

void pool_unit::make_series() const
{
    instruments_.add_pool(settings_.name);
    for (const auto& w : workers_of(settings_, limits_, discovered_)) {
        instruments_.add_worker(settings_.name, w.name);
    }
}

void pool_unit::start()
{
    prober_->start();
    begin_discovery();
}

void pool_unit::begin_discovery()
{
    if (!settings_.discovery) {
        discovered_.clear();
        return;
    }
    discovery_ = std::make_shared<health::discovery>(control_, name(), *settings_.discovery, instruments_,
                                                     [this](const std::vector<endpoint>& found) {
                                                         discovered_ = found;
                                                         set_workers();
                                                         prober_->follow();
                                                     });
    discovery_->start();
}

void pool_unit::set_workers()
{
    make_series();
    upstream.workers->set_workers(workers_of(settings_, limits_, discovered_));
}

std::shared_ptr<health::prober> pool_unit::make_prober()
{
    const auto& checks = settings_.health_check;
    return std::make_shared<health::prober>(control_, upstream.workers, checks, instruments_,
                                            health::make_probes(checks.type, upstream.tls.load()));
}

void pool_unit::replace_prober()
{
    ending_.spawn("prober", end(std::move(prober_)));
    prober_ = make_prober();
    prober_->start();
}

void pool_unit::set_tls(const certificates::client_ptr& tls)
{
    if (tls != upstream.tls.load()) {
        upstream.tls.store(tls);
        replace_prober();
    }
}

void pool_unit::update(const config::pool& from, const config::limits& limits, const certificates::client_ptr& tls)
{
    auto& workers = *upstream.workers;
    const bool same_policy = from.policy == settings_.policy && from.affinity == settings_.affinity;
    const bool same_checks = from.health_check == settings_.health_check && tls == upstream.tls.load();
    const bool same_discovery = from.discovery == settings_.discovery;
    settings_ = from;
    limits_ = limits;
    if (!same_discovery) {
        if (discovery_) {
            discovery_->cancel();
            ending_.spawn("discovery", end(std::move(discovery_)));
        }
        begin_discovery();
    }
    upstream.connect_timeout = duration{from.connect_timeout};
    upstream.liveness = duration{from.failover.liveness};
    upstream.send_proxy = proxy_version_of(from);
    buildkit.placement.set_limits(placement_limits_of(limits));
    buildkit.builds.keep_recent(limits.recent_builds);
    workers.set_rules(same_policy ? nullptr : make_policy(from), queue_settings_of(from), platform_settings_of(from),
                      clock::now());
    workers.set_outliers(outlier_settings_of(from), clock::now());
    workers.set_slow_start(from.slow_start);
    set_workers();
    upstream.tls.store(tls);
    if (same_checks) {
        prober_->follow();
    } else {
        replace_prober();
    }
}

void pool_unit::sweep(time_point now)
{
    upstream.workers->expire_ejections(now);
    buildkit.sweep(now);
    if (upstream.workers->drop_idle_leavers()) {
        prober_->follow();
    }
}

asio::awaitable<void> pool_unit::end(std::shared_ptr<health::prober> old)
{
    co_await old->stop();
}

asio::awaitable<void> pool_unit::end(std::shared_ptr<health::discovery> old)
{
    co_await old->join();
}

asio::awaitable<void> pool_unit::stop()
{
    if (discovery_) {
        discovery_->cancel();
        co_await discovery_->join();
    }
    co_await prober_->stop();
    co_await ending_.join();
}

}  // namespace buildkit_lb::app
