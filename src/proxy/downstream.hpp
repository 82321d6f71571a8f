#pragma once

#include <boost/asio/awaitable.hpp>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/ip_address.hpp"
#include "core/types.hpp"
#include "metrics/instruments.hpp"
#include "proxy/proxy_header.hpp"
#include "tls/handshake.hpp"

namespace buildkit_lb::proxy {

/// A client's connection as its protocol begins, and what is known of the client by then.
struct downstream {
    tls::socket socket;
    std::optional<connection_addresses> addresses;  ///< as a proxy in front of us told; nullopt: not over IP
    std::string peer;                               ///< the client's address without its port; empty: not over IP
    std::string dialled;      ///< the host name it dialled, in lower case, when TLS told (SNI); empty otherwise
    std::string certificate;  ///< the name by which its certificate was allowed; empty without one

    /// In the clear, from where the socket says.
    explicit downstream(stream_socket plain);
    downstream(tls::socket from, const std::optional<connection_addresses>& told);
};

/// What clients of a listener have to get past before their protocol begins. Outlives the connections.
struct entrance {
    std::string listener;  ///< its name
    metrics::listener_metrics& metrics;
    std::shared_ptr<const tls::server_context> tls = {};  ///< null: in the clear
    duration handshake_timeout = std::chrono::seconds{10};
    bool proxy_protocol = false;              ///< a PROXY header comes first
    std::vector<ip_network> proxy_from = {};  ///< who may send one, over IP; nobody else may connect then
    std::vector<ip_network> allow_from = {};  ///< who may come, over IP; empty: everybody
};

/// Lets a client in, or says why not in log and metrics and returns nothing. Runs on the data thread of the connection.
boost::asio::awaitable<std::optional<downstream>> enter(const entrance& at, stream_socket socket);

}  // namespace buildkit_lb::proxy
