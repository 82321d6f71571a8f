#include "support/balancer.hpp"

#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <future>

#include "balancer/policies/registry.hpp"
#include "health/ejection_report.hpp"
#include "proxy/buildkit/connection.hpp"

namespace buildkit_lb::test {

namespace asio = boost::asio;

namespace {

// As in the application, but often: tests wait for what it does.
constexpr std::chrono::milliseconds sweep_interval{20};

proxy::upstream_pool make_pool(const balancer_settings& settings)
{
    std::vector<balancer::worker_settings> workers;
    for (const endpoint& where : settings.workers) {
        balancer::worker_settings w;
        w.name = "w" + std::to_string(workers.size() + 1);
        w.address = where;
        w.max_builds = settings.max_builds;
        w.max_internal_builds = settings.internal_builds_per_worker;
        workers.push_back(std::move(w));
    }
    return {std::make_shared<balancer::pool>("default", std::move(workers), balancer::make_policy(settings.policy),
                                             settings.queue),
            settings.connect_timeout, settings.failover.liveness};
}

}  // namespace

balancer_under_test::balancer_under_test(balancer_settings settings)
    : settings_{std::move(settings)},
      upstream_{make_pool(settings_)},
      shared_{upstream_, settings_.placement, settings_.stall_patience},
      entrance_{.listener = "test",
                .metrics = instruments_.for_listener("test"),
                .handshake_timeout = settings_.handshake_timeout,
                .proxy_protocol = settings_.proxy_protocol,
                .proxy_from = settings_.proxy_from,
                .allow_from = settings_.allow_from},
      tcp_{upstream_, instruments_, instruments_.for_listener("test"), settings_.idle_timeout},
      buildkit_{"test",
                shared_,
                instruments_,
                tcp_.metrics,
                settings_.idle_timeout,
                settings_.progress,
                settings_.per_client,
                settings_.http2,
                settings_.pool_call_timeout,
                settings_.key_sources},
      threads_{settings_.threads},
      address_{settings_.address},
      tasks_{control_.get_executor()}
{
    for (const auto& view : upstream_.workers->snapshot()->workers) {
        workers_.push_back(view.worker);
    }
    upstream_.workers->set_outliers(settings_.outliers, clock::now());
    upstream_.workers->observe_ejections(health::ejection_report("default", instruments_));
    buildkit_.failover = settings_.failover;
    buildkit_.routes_by_key = settings_.policy == "cache-affinity";
    upstream_.send_proxy = settings_.send_proxy;
    const auto handler = [this](proxy::data_thread& on, stream_socket socket) { return serve(on, std::move(socket)); };
    listener_ =
        std::make_unique<proxy::listener>(control_.get_executor(),
                                          proxy::listener_settings{"test", settings_.address, settings_.max_connections,
                                                                   settings_.passed, settings_.too_large},
                                          threads_, instruments_, handler);
    if (address_.type == endpoint::kind::tcp) {
        address_ = parse_endpoint("tcp://" + listener_->local_address()).value();
    }
    listener_->listen();
    listener_->start();
    tasks_.spawn("sweep", sweep());
    thread_ = std::thread{[this] { control_.run(); }};
}

balancer_under_test::~balancer_under_test()
{
    stop();
}

asio::awaitable<void> balancer_under_test::serve(proxy::data_thread& on, stream_socket socket)
{
    auto client = co_await proxy::enter(entrance_, std::move(socket));
    if (!client) {
        co_return;
    }
    if (settings_.protocol == config::protocol::tcp) {
        co_await proxy::run_tcp_connection(tcp_, on, std::move(*client));
    } else {
        co_await proxy::run_buildkit_connection(buildkit_, on, std::move(*client));
    }
}

asio::awaitable<void> balancer_under_test::sweep()
{
    asio::steady_timer timer{control_};
    for (;;) {
        timer.expires_after(sweep_interval);
        co_await timer.async_wait(asio::use_awaitable);
        upstream_.workers->expire_ejections(clock::now());
        shared_.sweep(clock::now());
        accepting_ = !listener_->closed();
    }
}

void balancer_under_test::stop_accepting()
{
    std::promise<void> done;
    asio::post(control_, [&] {
        threads_.begin_drain();
        listener_->close();
        accepting_ = !listener_->closed();
        done.set_value();
    });
    done.get_future().wait();
}

void balancer_under_test::stop()
{
    if (!thread_.joinable()) {
        return;
    }
    std::promise<void> closed;
    asio::post(control_, [&] {
        listener_->close_now();
        tasks_.cancel();
        closed.set_value();
    });
    closed.get_future().wait();
    threads_.stop();
    thread_.join();
    stopped_ = true;
}

std::uint32_t balancer_under_test::leases() const
{
    std::uint32_t sum = 0;
    for (const auto& w : workers_) {
        sum += w->active_builds() + w->internal_builds();
    }
    return sum;
}

}  // namespace buildkit_lb::test
