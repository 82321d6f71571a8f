#pragma once

#include <boost/asio/awaitable.hpp>
#include <memory>
#include <optional>
#include <string>

#include "core/types.hpp"
#include "metrics/instruments.hpp"
#include "tls/handshake.hpp"

namespace buildkit_lb::proxy {

/// A client's connection as its protocol begins, and what is known of the client by then.
struct downstream {
    tls::socket socket;
    std::string peer;         ///< its address without the port; empty for a unix socket
    std::string dialled;      ///< the host name it dialled, in lower case, when TLS told (SNI); empty otherwise
    std::string certificate;  ///< the name by which its certificate was allowed; empty without one

    /// In the clear.
    explicit downstream(stream_socket plain) : socket{std::move(plain)}, peer{peer_host(socket.raw)} {}
    downstream(tls::socket from, std::string address) : socket{std::move(from)}, peer{std::move(address)} {}
};

/// What clients of a listener have to get past before their protocol begins. Outlives the connections.
struct entrance {
    std::string listener;  ///< its name
    metrics::listener_metrics& metrics;
    std::shared_ptr<const tls::server_context> tls;  ///< null: in the clear
    duration handshake_timeout = std::chrono::seconds{10};
};

/// Lets a client in, or says why not in log and metrics and returns nothing. Runs on the data thread of the connection.
boost::asio::awaitable<std::optional<downstream>> enter(const entrance& at, stream_socket socket);

}  // namespace buildkit_lb::proxy
