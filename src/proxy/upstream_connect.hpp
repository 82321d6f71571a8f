#pragma once

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <memory>
#include <string_view>

#include "balancer/pool.hpp"
#include "core/socket.hpp"
#include "core/swappable_ptr.hpp"
#include "core/types.hpp"
#include "metrics/instruments.hpp"
#include "proxy/proxy_header.hpp"
#include "tls/handshake.hpp"

namespace buildkit_lb::proxy {

/// A pool as listeners use it.
struct upstream_pool {
    std::shared_ptr<balancer::pool> workers;
    std::atomic<duration> connect_timeout{};
    std::atomic<duration> liveness{};                ///< so long a worker with calls may say nothing; zero: for ever
    swappable_ptr<const tls::client_context> tls{};  ///< null: in the clear
    std::atomic<proxy_version> send_proxy{proxy_version::off};  ///< with `protocol: tcp` only
};

/// A connection to a worker, and the pick that led to it.
struct upstream_connection {
    balancer::pick chosen;
    tls::socket socket;
};

/// Connects to `w`, sends `greeting` before everything else, shakes hands where the pool has TLS, and tells the pool
/// and the metrics of a failure that is the worker's fault. Runs on the executor of the calling coroutine, which
/// becomes the socket's. `greeting` is short and outlives the call.
boost::asio::awaitable<result<tls::socket>> connect_worker(const upstream_pool& pool, const balancer::worker& w,
                                                           metrics::instruments& instruments,
                                                           std::string_view greeting = {});

/// Picks workers of `pool` one after the other until one accepts a connection. When all that are up have failed, those
/// that are down are tried too: a probe may know less than a try. Fails when none is left.
boost::asio::awaitable<result<upstream_connection>> connect_any(const upstream_pool& pool,
                                                                metrics::instruments& instruments,
                                                                std::string_view greeting = {});

}  // namespace buildkit_lb::proxy
