#pragma once

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "config/config.hpp"
#include "core/task_group.hpp"
#include "metrics/instruments.hpp"
#include "proxy/buildkit/service.hpp"
#include "proxy/data_thread.hpp"
#include "proxy/listener.hpp"
#include "proxy/tcp/tcp_connection.hpp"
#include "support/peer.hpp"

namespace buildkit_lb::test {

/// What a test wants of a balancer. Workers are called w1, w2, … in this order.
struct balancer_settings {
    config::protocol protocol = config::protocol::tcp;
    std::vector<endpoint> workers;
    std::string policy = "round-robin";
    endpoint address = tcp_at("127.0.0.1");
    passed_sockets* passed = nullptr;
    duration connect_timeout = std::chrono::seconds{10};
    duration idle_timeout = std::chrono::hours{1};
    std::uint32_t max_connections = 10000;
    std::function<bool()> too_large{};
    std::uint32_t threads = 2;
    balancer::placement_limits placement{};
    bool progress = true;
    std::uint32_t max_builds = 0;  // of each worker
    balancer::queue_settings queue{};
    balancer::outlier_settings outliers{};
    balancer::stall_rule::patience stall_patience{};
    proxy::client_limits per_client{};
    std::uint32_t internal_builds_per_worker = 1000;
    duration pool_call_timeout = std::chrono::seconds{10};
    balancer::failover_settings failover{};  // off
    std::vector<std::string> key_sources = buildkit::default_key_sources();
    // What clients have to get past.
    duration handshake_timeout = std::chrono::seconds{10};
    bool proxy_protocol = false;
    std::vector<ip_network> proxy_from{};
    std::vector<ip_network> allow_from{};
    proxy::proxy_version send_proxy = proxy::proxy_version::off;
    http2::options http2{};
};

/// A listener, its pool and its data threads as the application wires them, without probes, on a port of its own. Its
/// control thread is its own too, so that the test's thread is free to play the peers.
class balancer_under_test {
public:
    explicit balancer_under_test(balancer_settings settings);
    ~balancer_under_test();

    /// Where clients connect to.
    const endpoint& address() const { return address_; }
    peer connect() const { return peer{address_}; }

    /// Stops accepting and tells connections to end, as a graceful stop does. Where another one has the address too,
    /// those that are under way are still accepted for a while: see accepting().
    void stop_accepting();
    bool accepting() const { return accepting_; }
    /// Cuts what still runs and joins everything. Blocks; any thread but the balancer's. Once is enough.
    void stop();
    bool stopped() const { return stopped_; }

    std::uint32_t connections() const { return threads_.connections(); }
    std::uint32_t accepted() const { return listener_->connections(); }
    const std::shared_ptr<balancer::worker>& worker(std::size_t index) const { return workers_.at(index); }
    /// Builds (connections, for `protocol: tcp`) counted on all workers, internal ones too.
    std::uint32_t leases() const;
    /// The connection counts and leases of the last client are back at zero.
    bool idle() const { return connections() == 0 && accepted() == 0 && leases() == 0; }

    balancer::pool& pool() { return *upstream_.workers; }
    proxy::buildkit_pool& buildkit() { return shared_; }
    const metrics::instruments& metrics() const { return instruments_; }

private:
    boost::asio::awaitable<void> sweep();
    boost::asio::awaitable<void> serve(proxy::data_thread& on, stream_socket socket);

    const balancer_settings settings_;
    boost::asio::io_context control_{1};
    metrics::instruments instruments_;
    proxy::upstream_pool upstream_;
    proxy::buildkit_pool shared_;
    proxy::entrance entrance_;
    proxy::tcp_service tcp_;
    proxy::buildkit_service buildkit_;
    std::vector<std::shared_ptr<balancer::worker>> workers_;
    proxy::data_plane threads_;
    std::unique_ptr<proxy::listener> listener_;
    endpoint address_;
    task_group tasks_;
    std::atomic<bool> accepting_{true};
    std::atomic<bool> stopped_{false};
    std::thread thread_;
};

}  // namespace buildkit_lb::test
