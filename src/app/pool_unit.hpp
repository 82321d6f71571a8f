#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <memory>

#include "app/certificates.hpp"
#include "config/config.hpp"
#include "core/task_group.hpp"
#include "health/discovery.hpp"
#include "health/prober.hpp"
#include "metrics/instruments.hpp"
#include "proxy/buildkit/service.hpp"

namespace buildkit_lb::app {

/// A pool, what probes it, and what its listeners share. Made, changed and destroyed on the control thread; the
/// connections of its listeners keep a reference, so it is dropped only once nobody but the application has one.
class pool_unit {
public:
    pool_unit(const config::pool& from, const config::limits& limits, boost::asio::any_io_executor control,
              metrics::instruments& instruments, certificates::client_ptr tls);

    /// Begins to probe.
    void start();

    /// Takes a new configuration of the same pool over: builds that run, wait or are remembered are not touched.
    void update(const config::pool& from, const config::limits& limits, const certificates::client_ptr& tls);

    /// Takes new certificates over, if they are: for connections from now on.
    void set_tls(const certificates::client_ptr& tls);

    /// What has to be done every second or so: see buildkit_pool::sweep(). Ends ejections; drops workers that have left
    /// and are idle.
    void sweep(time_point now);

    /// Ends all probes and returns when they have ended.
    boost::asio::awaitable<void> stop();

    const std::string& name() const { return upstream.workers->name(); }

    proxy::upstream_pool upstream;
    proxy::buildkit_pool buildkit;

private:
    void make_series() const;
    void begin_discovery();
    std::shared_ptr<health::prober> make_prober();
    void replace_prober();
    void set_workers();
    boost::asio::awaitable<void> end(std::shared_ptr<health::prober> old);
    boost::asio::awaitable<void> end(std::shared_ptr<health::discovery> old);

    boost::asio::any_io_executor control_;
    metrics::instruments& instruments_;
    config::pool settings_;
    config::limits limits_;
    std::shared_ptr<health::prober> prober_;
    std::shared_ptr<health::discovery> discovery_;  // null when there is none
    std::vector<endpoint> discovered_;
    task_group ending_;  // what was replaced
};

}  // namespace buildkit_lb::app
