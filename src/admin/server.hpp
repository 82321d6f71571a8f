#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstddef>
#include <list>
#include <string>

#include "admin/access.hpp"
#include "admin/http_session.hpp"
#include "admin/router.hpp"
#include "admin/routes.hpp"
#include "core/endpoint.hpp"
#include "core/listening_socket.hpp"
#include "core/socket.hpp"
#include "core/task_group.hpp"

namespace buildkit_lb::admin {

/// The admin HTTP/1.1 server. Lives on the control thread: made, started, stopped and destroyed there.
class server {
public:
    /// Binds and listens. Throws std::runtime_error naming the address and the remedy when that fails.
    /// Where another process of the same user has the address, new connections come here from now on. `passed`: see
    /// listening_socket.
    server(boost::asio::any_io_executor control, const endpoint& address, context about, server_limits limits = {},
           passed_sockets* passed = nullptr);
    ~server() = default;
    server(const server&) = delete;
    server& operator=(const server&) = delete;

    /// Further routes (pages of other modules). Before start().
    router& routes() { return routes_; }

    /// The bearer token that calls which change something need from now on; empty: none.
    void set_token(std::string token) { access_.set_token(std::move(token)); }

    /// See access_rules.
    void set_hosts(std::vector<std::string> hosts) { access_.set_hosts(std::move(hosts)); }

    /// Begins to accept, and logs the address.
    void start();

    /// Stops accepting, closes all connections and returns when they have ended.
    boost::asio::awaitable<void> stop();

    /// The address it is bound to: with port 0 the port the kernel chose.
    std::string local_address() const { return socket_.local_address(); }

private:
    boost::asio::awaitable<void> accept_loop();
    boost::asio::awaitable<void> serve(stream_socket socket);

    boost::asio::any_io_executor control_;
    const context about_;
    const server_limits limits_;
    access_rules access_;
    router routes_;
    listening_socket socket_;
    boost::asio::steady_timer session_ended_;  // never expires: cancelled when a session ends
    std::list<http_session*> sessions_;        // owned by their coroutines
    std::size_t open_connections_ = 0;
    task_group tasks_;
};

}  // namespace buildkit_lb::admin
