#pragma once

#include <boost/asio/awaitable.hpp>

#include "metrics/instruments.hpp"
#include "proxy/data_thread.hpp"
#include "proxy/downstream.hpp"
#include "proxy/host_routes.hpp"
#include "proxy/upstream_connect.hpp"

namespace buildkit_lb::proxy {

/// What every connection of a `protocol: tcp` listener needs. Outlives them.
struct tcp_service {
    const upstream_pool& pool;
    metrics::instruments& instruments;
    metrics::listener_metrics& metrics;
    duration idle_timeout;
    std::vector<host_route<const tcp_service>> hosts = {};  ///< in the order of the configuration
};

/// One connection of a `protocol: tcp` listener, from its accept to its end: chooses a worker and copies bytes. The
/// client notices a worker that can't be connected to only when none is left. Runs on `on`.
boost::asio::awaitable<void> run_tcp_connection(const tcp_service& service, data_thread& on, downstream client);

}  // namespace buildkit_lb::proxy
