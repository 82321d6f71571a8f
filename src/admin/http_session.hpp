#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "admin/access.hpp"
#include "admin/router.hpp"
#include "core/socket.hpp"

namespace buildkit_lb::admin {

/// What clients of the admin server may use. The defaults are far above what scrapers, dashboards and people need.
struct server_limits {
    std::uint32_t header_size = 8 * 1024;
    std::uint64_t body_size = 16 * 1024;
    std::size_t connections = 512;  ///< more wait in the kernel's backlog; a wait for a drain holds one
    std::chrono::milliseconds read_timeout = std::chrono::seconds{10};   ///< for the next request to have arrived
    std::chrono::milliseconds write_timeout = std::chrono::seconds{10};  ///< for a response to have been taken
};

/// One HTTP/1.1 connection: reads requests one after the other and answers them by the routes. Owned by the coroutine
/// that runs it, on the control thread.
class http_session {
public:
    /// `routes`, `allowed` and `limits` outlive it.
    http_session(stream_socket socket, const router& routes, const access_rules& allowed, const server_limits& limits);
    ~http_session();
    http_session(const http_session&) = delete;
    http_session& operator=(const http_session&) = delete;

    /// Returns when the connection is to be closed.
    boost::asio::awaitable<void> run();

    /// Closes the connection, whatever is going on: run() ends soon.
    void close();

private:
    class http;  // Beast's headers stay out of this one

    std::unique_ptr<http> http_;
    const router& routes_;
    const access_rules& allowed_;
    const server_limits& limits_;
};

}  // namespace buildkit_lb::admin
