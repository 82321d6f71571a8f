#pragma once

#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>
#include <catch2/catch.hpp>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "admin/server.hpp"
#include "balancer/policies/registry.hpp"
#include "core/resolve.hpp"
#include "support/http_client.hpp"

namespace buildkit_lb::test {

inline endpoint loopback(std::uint16_t port = 0)
{
    endpoint e;
    e.host = "127.0.0.1";
    e.port = port;
    return e;
}

inline std::shared_ptr<balancer::pool> make_pool()
{
    std::vector<balancer::worker_settings> workers(2);
    workers[0].name = "w1";
    workers[0].address = loopback(1234);
    workers[0].weight = worker_weight{3};
    workers[0].max_builds = 8;
    workers[1].name = "w2";
    workers[1].address.type = endpoint::kind::unix_socket;
    workers[1].address.path = "/run/buildkit/w2.sock";
    return std::make_shared<balancer::pool>("default", std::move(workers), balancer::make_policy("round-robin"));
}

/// An admin server on a control thread of its own.
class running_server {
public:
    explicit running_server(const endpoint& address = loopback(), admin::server_limits limits = {},
                            const std::function<void(admin::router&)>& add_routes = {})
        : server_{context_.get_executor(), address,
                  admin::context{instruments, [this] { return std::vector{pool}; },
                                 [this] { return ready.load() ? is_ready() : not_ready(); },
                                 [this] { ++drains_changed; }, std::chrono::milliseconds{100}},
                  limits}
    {
        if (add_routes) {
            add_routes(server_.routes());
        }
        boost::asio::post(context_, [this] { server_.start(); });
        const auto local = server_.local_address();
        if (address.type == endpoint::kind::tcp) {
            address_ =
                *numeric_address(loopback(static_cast<std::uint16_t>(std::stoi(local.substr(local.find(':') + 1)))));
        } else {
            address_ = *numeric_address(address);
        }
        thread_ = std::thread{[this] { context_.run(); }};
    }
    ~running_server()
    {
        stop();
        work_.reset();
        thread_.join();
    }
    running_server(const running_server&) = delete;
    running_server& operator=(const running_server&) = delete;

    /// Does what only the server's thread may.
    void on_its_thread(std::function<void(admin::server&)> what)
    {
        auto done =
            boost::asio::post(context_, boost::asio::use_future([this, what = std::move(what)] { what(server_); }));
        REQUIRE(done.wait_for(std::chrono::seconds{10}) == std::future_status::ready);
    }

    void stop()
    {
        auto stopped = boost::asio::co_spawn(context_, server_.stop(), boost::asio::use_future);
        REQUIRE(stopped.wait_for(std::chrono::seconds{10}) == std::future_status::ready);
    }

    const socket_address& address() const { return address_; }
    http_client connect() const { return http_client{address_}; }

    const std::shared_ptr<balancer::pool> pool = make_pool();
    metrics::instruments instruments{"9.9.9"};
    std::atomic<bool> ready{true};
    std::atomic<int> drains_changed{0};

private:
    static admin::readiness is_ready() { return {true, {}}; }
    static admin::readiness not_ready() { return {false, {"listener builds: no worker of pool default is up"}}; }

    boost::asio::io_context context_;
    boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_ =
        boost::asio::make_work_guard(context_);
    admin::server server_;
    socket_address address_;
    std::thread thread_;
};

}  // namespace buildkit_lb::test
