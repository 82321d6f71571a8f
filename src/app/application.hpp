#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <memory>
#include <vector>

#include "admin/server.hpp"
#include "balancer/pool.hpp"
#include "config/config.hpp"
#include "core/event.hpp"
#include "core/task_group.hpp"
#include "health/prober.hpp"
#include "metrics/instruments.hpp"
#include "proxy/buildkit/service.hpp"
#include "proxy/data_thread.hpp"
#include "proxy/listener.hpp"
#include "proxy/tcp/tcp_connection.hpp"

namespace buildkit_lb::app {

/// Everything that runs, wired together from a configuration. The thread that calls run() is the control thread: it
/// accepts, probes, serves admin requests and handles signals; connections are on the data threads.
class application {
public:
    /// Binds all addresses; throws std::runtime_error when one can't be.
    explicit application(const config::root& settings);
    ~application();

    /// Runs until stopped by SIGTERM or SIGINT. True when every connection ended by itself.
    bool run();

private:
    struct pool;
    struct service;

    void make_pools();
    pool& find_pool(std::string_view name) const;
    void make_listener(const config::listener& from);
    void make_admin();
    admin::readiness ready() const;

    boost::asio::awaitable<void> sweep();
    boost::asio::awaitable<void> serve_until_stopped();
    boost::asio::awaitable<void> wait_for_signal(int& signal);
    boost::asio::awaitable<void> drain();
    boost::asio::awaitable<void> stop_everything();

    const config::root settings_;
    boost::asio::io_context control_{1};
    boost::asio::signal_set signals_;
    metrics::instruments instruments_;
    std::vector<std::unique_ptr<pool>> pools_;
    std::vector<std::unique_ptr<service>> services_;
    proxy::data_plane threads_;
    std::vector<std::unique_ptr<proxy::listener>> listeners_;
    std::unique_ptr<admin::server> admin_;
    bool stopping_ = false;
    bool all_ended_ = true;
    task_group tasks_;
};

}  // namespace buildkit_lb::app
