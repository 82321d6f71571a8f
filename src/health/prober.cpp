#include "health/prober.hpp"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <random>
#include <utility>

#include "balancer/obstacle.hpp"
#include "core/log.hpp"
#include "health/pace.hpp"

namespace buildkit_lb::health {

namespace asio = boost::asio;
using balancer::worker_health;

namespace {

/// Says nothing about the worker: the trouble is ours.
bool inconclusive(const probe_result& found)
{
    return !found && found.error().source == failure_source::internal;
}

/// Seconds with three decimals, for a log line.
double in_seconds(duration d)
{
    return static_cast<double>(std::chrono::round<std::chrono::milliseconds>(d).count()) / 1000;
}

}  // namespace

probe_maker make_probes(config::probe_type type, std::shared_ptr<const tls::client_context> tls)
{
    switch (type) {
        case config::probe_type::buildkit: return buildkit_probes(std::move(tls));
        case config::probe_type::grpc: return grpc_probes(std::move(tls));
        case config::probe_type::tcp: return tcp_probe;
        case config::probe_type::off: break;
    }
    return {};
}

random_source make_random_source()
{
    return [engine = std::minstd_rand{std::random_device{}()}]() mutable {
        return std::uniform_real_distribution<double>{0, 1}(engine);
    };
}

prober::prober(asio::any_io_executor control, std::shared_ptr<balancer::pool> watched,
               const config::health_check& settings, metrics::instruments& instruments, probe_maker how,
               random_source random)
    : control_{control},
      pool_{std::move(watched)},
      settings_{settings},
      instruments_{instruments},
      make_probe_{how ? std::move(how) : make_probes(settings.type)},
      random_{std::move(random)},
      tasks_{control}
{
    if (settings_.type == config::probe_type::off) {
        pool_->observe_connect_failures({});
        pool_->observe_goaways({});
        return;
    }
    watch_all();
    pool_->observe_connect_failures(
        [this, executor = control_, still = std::weak_ptr{alive_}](const balancer::worker& w, const failure& why) {
            // On a data thread; `this` is touched on the control thread only, and the worker only compared by address.
            asio::post(executor, [this, still, worker = &w, why] {
                if (still.lock()) {
                    connect_failed(*worker, why);
                }
            });
        });
    pool_->observe_goaways([this, executor = control_, still = std::weak_ptr{alive_}](const balancer::worker& w) {
        asio::post(executor, [this, still, worker = &w] {
            if (still.lock()) {
                hurry(*worker);
            }
        });
    });
}

prober::~prober() = default;

void prober::watch_all()
{
    const health_tracker::thresholds limits{settings_.unhealthy_after, settings_.healthy_after};
    const auto snapshot = pool_->snapshot();
    std::erase_if(watches_, [&](const auto& of) {
        const bool there = std::any_of(snapshot->workers.begin(), snapshot->workers.end(),
                                       [&](const auto& view) { return view.worker == of->worker; });
        if (!there && of->probing != nullptr) {
            of->probing->emit(asio::cancellation_type::terminal);
        }
        return !there;
    });
    for (const auto& view : snapshot->workers) {
        if (std::none_of(watches_.begin(), watches_.end(), [&](const auto& of) { return of->worker == view.worker; })) {
            watches_.push_back(
                std::make_shared<watch>(watch{view.worker, make_probe_(), health_tracker{limits}, view.facts}));
        }
    }
}

void prober::start()
{
    for (const auto& of : watches_) {
        begin(of);
    }
}

void prober::follow()
{
    if (settings_.type == config::probe_type::off) {
        return;
    }
    watch_all();
    for (const auto& of : watches_) {
        if (of->probing == nullptr) {
            begin(of);
        }
    }
}

void prober::begin(const std::shared_ptr<watch>& of)
{
    of->probing = &tasks_.spawn("probe", probe_forever(of));
}

asio::awaitable<void> prober::probe_forever(std::shared_ptr<watch> of)
{
    co_await probe_until_cancelled(*of);
    of->probing = nullptr;
}

asio::awaitable<void> prober::stop()
{
    tasks_.cancel();
    co_await tasks_.join();
}

asio::awaitable<void> prober::probe_until_cancelled(watch& of)
{
    asio::steady_timer timer{control_};
    for (;;) {
        const time_point started = clock::now();
        const bool going_away = balancer::is_going_away(*pool_->snapshot(), *of.worker);
        const probe_result found = co_await probe_once(of, going_away);
        if (!found && found.error().code == errc::canceled) {
            co_return;
        }
        probed(of, found);
        if (found && going_away) {
            came_back(of);
        }
        timer.expires_after(std::exchange(of.hurry, false)
                                ? duration::zero()
                                : pause_between_probes(settings_.interval, clock::now() - started, random_()));
        of.pause = &timer;
        co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
        of.pause = nullptr;
        // The wait ends early also when there is a reason to probe at once.
        const auto state = co_await asio::this_coro::cancellation_state;
        if (state.cancelled() != asio::cancellation_type::none) {
            co_return;
        }
    }
}

/// A worker that has said GOAWAY may go on answering on the connections that it has: whether it takes new ones is what
/// counts.
asio::awaitable<probe_result> prober::probe_once(const watch& of, bool going_away)
{
    if (going_away) {
        const probe connecting = tcp_probe();
        probe_result connected = co_await connecting(*of.worker, settings_.timeout);
        if (!connected) {
            co_return connected;
        }
    }
    co_return co_await of.ask(*of.worker, settings_.timeout);
}

void prober::hurry(const balancer::worker& w)
{
    if (const auto of = find_watch(w)) {
        of->hurry = of->pause == nullptr;
        if (of->pause != nullptr) {
            of->pause->cancel();
        }
    }
}

void prober::came_back(const watch& of)
{
    if (pool_->clear_goaway(*of.worker)) {
        log::info("worker is back: it takes new connections after its GOAWAY",
                  {{"pool", pool_->name()}, {"worker", of.worker->name()}});
    }
}

std::shared_ptr<prober::watch> prober::find_watch(const balancer::worker& w) const
{
    const auto found =
        std::find_if(watches_.begin(), watches_.end(), [&](const auto& of) { return of->worker.get() == &w; });
    return found == watches_.end() ? nullptr : *found;
}

void prober::probed(watch& of, const probe_result& found)
{
    if (inconclusive(found)) {
        log::debug("health check could not be made",
                   {{"pool", pool_->name()}, {"worker", of.worker->name()}, {"error", found.error().detail}});
        return;
    }
    if (!found) {
        instruments_.health_check_failed(pool_->name(), of.worker->name(), to_string(found.error().code));
    }
    // First, so that whoever sees it up also sees what it can do.
    if (found && found->facts && found->facts != of.facts) {
        learned(of, found->facts);
    }
    publish(of, of.tracker.observe(found, clock::now()));
}

void prober::learned(watch& of, const std::shared_ptr<const balancer::worker_facts>& facts)
{
    pool_->set_facts(*of.worker, facts);
    const auto before = std::exchange(of.facts, facts);
    if (before && before->id == facts->id && before->version == facts->version) {
        return;
    }
    log::info(before ? "worker is another one now" : "worker tells who it is",
              {{"pool", pool_->name()},
               {"worker", of.worker->name()},
               {"version", facts->version},
               {"platforms", fmt::format("{}", fmt::join(facts->platforms, ","))},
               {"id", facts->id}});
    if (!before || before->id != facts->id) {
        warn_of_twins(of);
    }
}

void prober::warn_of_twins(const watch& of) const
{
    for (const auto& other : watches_) {
        if (other.get() != &of && other->facts && other->facts->id == of.facts->id) {
            log::warn("two workers have the same ID",
                      {{"pool", pool_->name()},
                       {"worker", other->worker->name()},
                       {"other", of.worker->name()},
                       {"id", of.facts->id},
                       {"remedy",
                        "one buildkitd under two names breaks sessions: remove one of them; if its state "
                        "directory was copied, delete the file workerid in the copy"}});
        }
    }
}

void prober::connect_failed(const balancer::worker& w, const failure& why)
{
    if (const auto found = find_watch(w)) {
        watch& of = *found;
        publish(of, of.tracker.observe_connect_failure(why, clock::now()));
    }
}

void prober::publish(const watch& of, const std::optional<transition>& flip)
{
    const worker_health health = of.tracker.health();
    // While it is down, also a new reason is news for who asks; while it is up, only the flip is.
    if (flip || health == worker_health::down) {
        pool_->set_health(*of.worker, health, of.tracker.last_error());
    }
    if (!flip) {
        return;
    }
    std::vector<log::field> fields{
        {"pool", pool_->name()}, {"worker", of.worker->name()}, {"address", of.worker->address().to_string()}};
    if (flip->to == worker_health::up) {
        if (flip->lasted) {
            fields.emplace_back("down_seconds", in_seconds(*flip->lasted));
        }
        log::info("worker is up", fields);
    } else {
        if (flip->lasted) {
            fields.emplace_back("up_seconds", in_seconds(*flip->lasted));
        }
        fields.emplace_back("reason", flip->reason);
        log::warn("worker is down", fields);
    }
}

}  // namespace buildkit_lb::health
