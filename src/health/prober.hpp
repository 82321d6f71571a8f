#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <vector>

#include "balancer/pool.hpp"
#include "config/config.hpp"
#include "core/task_group.hpp"
#include "health/health_tracker.hpp"
#include "health/probe.hpp"
#include "metrics/instruments.hpp"

namespace buildkit_lb::health {

/// Where jitter comes from: numbers from 0 up to but not including 1. Called on the prober's thread.
using random_source = std::function<double()>;
random_source make_random_source();

/// Watches the workers of one pool: probes each at its own pace, never twice at the same time, listens to failed
/// connections and GOAWAYs of real traffic, and tells the pool who is up and what workers say of themselves. Logs
/// transitions and news only; failures are counted.
///
/// Lives on the control thread: it is made before there is traffic, started, stopped and destroyed there, when the
/// control executor runs no more of its tasks. With `type: off` it does nothing and health stays unknown.
class prober {
public:
    /// `how`: left out, what `settings.type` says.
    prober(boost::asio::any_io_executor control, std::shared_ptr<balancer::pool> watched,
           const config::health_check& settings, metrics::instruments& instruments, probe_maker how = {},
           random_source random = make_random_source());
    ~prober();
    prober(const prober&) = delete;
    prober& operator=(const prober&) = delete;

    /// Begins to probe: every worker at once, so that the pool is known soon.
    void start();

    /// The pool has other workers now: new ones are probed at once, those that are gone no more. After start().
    void follow();

    /// Ends all probes and returns when they have ended.
    boost::asio::awaitable<void> stop();

private:
    /// A worker and what is known of it.
    struct watch {
        std::shared_ptr<balancer::worker> worker;
        probe ask;
        health_tracker tracker;
        std::shared_ptr<const balancer::worker_facts> facts;  // null until a probe has learned them
        boost::asio::cancellation_signal* probing = nullptr;  // null before start() and once it has ended
        boost::asio::steady_timer* pause = nullptr;           // while it waits between two probes
        bool hurry = false;                                   // no pause after this probe
    };

    void watch_all();
    void begin(const std::shared_ptr<watch>& of);
    boost::asio::awaitable<void> probe_forever(std::shared_ptr<watch> of);
    boost::asio::awaitable<void> probe_until_cancelled(watch& of);
    void probed(watch& of, const probe_result& found);
    void learned(watch& of, const std::shared_ptr<const balancer::worker_facts>& facts);
    void warn_of_twins(const watch& of) const;
    boost::asio::awaitable<probe_result> probe_once(const watch& of, bool going_away);
    std::shared_ptr<watch> find_watch(const balancer::worker& w) const;
    void hurry(const balancer::worker& w);
    void came_back(const watch& of);
    void connect_failed(const balancer::worker& w, const failure& why);
    void publish(const watch& of, const std::optional<transition>& flip);

    boost::asio::any_io_executor control_;
    const std::shared_ptr<balancer::pool> pool_;
    const config::health_check settings_;
    metrics::instruments& instruments_;
    const probe_maker make_probe_;
    const random_source random_;
    std::vector<std::shared_ptr<watch>> watches_;
    // Dies with this object: a failure that a data thread reports later is dropped.
    std::shared_ptr<const bool> alive_ = std::make_shared<const bool>(true);
    task_group tasks_;
};

}  // namespace buildkit_lb::health
