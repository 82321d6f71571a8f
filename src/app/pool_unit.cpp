#include "app/pool_unit.hpp"

#include "app/settings.hpp"

namespace buildkit_lb::app {

namespace asio = boost::asio;

pool_unit::pool_unit(const config::pool& from, const config::limits& limits, asio::any_io_executor control,
                     metrics::instruments& instruments)
    : upstream{std::make_shared<balancer::pool>(from.name, workers_of(from, limits), make_policy(from),
                                                queue_settings_of(from), platform_settings_of(from)),
               duration{from.connect_timeout}},
      buildkit{upstream, placement_limits_of(limits)},
      control_{control},
      instruments_{instruments},
      settings_{from},
      prober_{std::make_shared<health::prober>(control, upstream.workers, from.health_check, instruments)},
      ending_{control}
{
    make_series();
}

void pool_unit::make_series() const
{
    instruments_.add_pool(settings_.name);
    for (const auto& w : settings_.workers) {
        instruments_.add_worker(settings_.name, w.name);
    }
}

void pool_unit::start()
{
    prober_->start();
}

void pool_unit::update(const config::pool& from, const config::limits& limits)
{
    auto& workers = *upstream.workers;
    const bool same_policy = from.policy == settings_.policy && from.affinity == settings_.affinity;
    const bool same_checks = from.health_check == settings_.health_check;
    settings_ = from;
    make_series();
    upstream.connect_timeout = duration{from.connect_timeout};
    buildkit.placement.set_limits(placement_limits_of(limits));
    workers.set_rules(same_policy ? nullptr : make_policy(from), queue_settings_of(from), platform_settings_of(from));
    workers.set_workers(workers_of(from, limits));
    if (same_checks) {
        prober_->follow();
        return;
    }
    ending_.spawn("prober", end(std::move(prober_)));
    prober_ = std::make_shared<health::prober>(control_, upstream.workers, from.health_check, instruments_);
    prober_->start();
}

void pool_unit::sweep(time_point now)
{
    buildkit.sweep(now);
    if (upstream.workers->drop_idle_leavers()) {
        prober_->follow();
    }
}

asio::awaitable<void> pool_unit::end(std::shared_ptr<health::prober> old)
{
    co_await old->stop();
}

asio::awaitable<void> pool_unit::stop()
{
    co_await prober_->stop();
    co_await ending_.join();
}

}  // namespace buildkit_lb::app
