#include "core/socket.hpp"

#include <algorithm>
#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string>
#include <sys/socket.h>
#include <utility>
#include <vector>

#include "core/resolve.hpp"

namespace buildkit_lb {

namespace asio = boost::asio;
using namespace asio::experimental::awaitable_operators;
using boost::system::error_code;

namespace {

// How often a unix socket whose backlog is full is tried again: connect() does not wait for it when non-blocking.
constexpr auto unix_retry_delay = std::chrono::milliseconds{10};

failure connect_failure(const std::string& whereto, const error_code& error)
{
    const errc code = classify(error);
    const bool ours = code == errc::canceled || code == errc::too_many || code == errc::internal;
    return {code, ours ? failure_source::internal : failure_source::upstream, !ours, whereto + ": " + error.message()};
}

/// Asio takes EAGAIN of a unix socket with a full backlog for "in progress" and then reports success.
asio::awaitable<error_code> connect_unix(stream_socket& socket, const socket_address& address, time_point deadline)
{
    error_code error;
    socket.native_non_blocking(true, error);
    asio::steady_timer pause{socket.get_executor()};
    while (!error) {
        // A wait that was over before the cancellation came succeeds, and the next one would throw.
        const auto cancellation = co_await asio::this_coro::cancellation_state;
        if (cancellation.cancelled() != asio::cancellation_type::none) {
            error = asio::error::operation_aborted;
            break;
        }
        if (::connect(socket.native_handle(), address.data(), static_cast<socklen_t>(address.size())) == 0) {
            break;
        }
        if (errno != EAGAIN && errno != EINTR) {
            error.assign(errno, boost::system::system_category());
            break;
        }
        if (clock::now() >= deadline) {
            error = asio::error::timed_out;
            break;
        }
        pause.expires_after(unix_retry_delay);
        const auto [aborted] = co_await pause.async_wait(asio::as_tuple(asio::use_awaitable));
        error = aborted;
    }
    co_return error;
}

asio::awaitable<error_code> connect_tcp(stream_socket& socket, const socket_address& address, time_point deadline)
{
    set_tcp_options(socket.native_handle());
    asio::steady_timer timer{socket.get_executor(), deadline};
    // Named, not temporaries: GCC 12 destroys temporaries of a co_await expression twice.
    auto connecting = socket.async_connect(address, asio::as_tuple(asio::use_awaitable));
    auto expiring = timer.async_wait(asio::as_tuple(asio::use_awaitable));
    const auto outcome = co_await (std::move(connecting) || std::move(expiring));
    if (outcome.index() == 0) {
        co_return std::get<0>(std::get<0>(outcome));
    }
    const error_code aborted = std::get<0>(std::get<1>(outcome));
    co_return aborted ? aborted : error_code{asio::error::timed_out};
}

}  // namespace

std::optional<ip_endpoint> remote_of(const stream_socket& socket)
{
    error_code error;
    const auto other = socket.remote_endpoint(error);
    return error ? std::nullopt : ip_endpoint_of(*other.data());
}

std::optional<ip_endpoint> local_of(const stream_socket& socket)
{
    error_code error;
    const auto ours = socket.local_endpoint(error);
    return error ? std::nullopt : ip_endpoint_of(*ours.data());
}

std::string peer_host(const stream_socket& socket)
{
    const auto other = remote_of(socket);
    return other ? other->address.to_string() : std::string{};
}

asio::awaitable<error_code> wait_ready(stream_socket& socket, stream_socket::wait_type what, time_point deadline)
{
    // Awaiting anything after a cancellation would throw.
    const auto cancellation = co_await asio::this_coro::cancellation_state;
    if (cancellation.cancelled() != asio::cancellation_type::none) {
        co_return asio::error::operation_aborted;
    }
    asio::steady_timer timer{socket.get_executor(), deadline};
    auto waiting = socket.async_wait(what, asio::as_tuple(asio::use_awaitable));
    auto expiring = timer.async_wait(asio::as_tuple(asio::use_awaitable));
    const auto outcome = co_await (std::move(waiting) || std::move(expiring));
    if (outcome.index() == 0) {
        co_return std::get<0>(std::get<0>(outcome));
    }
    const error_code aborted = std::get<0>(std::get<1>(outcome));
    co_return aborted ? aborted : error_code{asio::error::timed_out};
}

errc classify(const error_code& error)
{
    if (error == asio::error::eof) {
        return errc::closed;
    }
    if (error == asio::error::operation_aborted) {
        return errc::canceled;
    }
    // Asio's own system errors and the system category compare equal by value.
    switch (error.category() == boost::system::system_category() ? error.value() : 0) {
        case ECONNREFUSED: return errc::refused;
        case ENETUNREACH:
        case EHOSTUNREACH:
        case ENETDOWN:
        case EHOSTDOWN:
        case EADDRNOTAVAIL:
        case ENOENT:  // no such unix socket
        case ENOTDIR:
        case EACCES:
        case EPERM: return errc::unreachable;
        case ETIMEDOUT: return errc::timed_out;
        case ECONNRESET:
        case ECONNABORTED:
        case EPIPE: return errc::reset;
        case EMFILE:
        case ENFILE: return errc::too_many;
        default: return errc::internal;
    }
}

void set_tcp_options(int fd)
{
    struct option {
        int level;
        int name;
        int value;
    };
    constexpr std::array options{
        option{SOL_SOCKET, SO_KEEPALIVE, 1},   option{IPPROTO_TCP, TCP_NODELAY, 1},
        option{IPPROTO_TCP, TCP_KEEPIDLE, 60}, option{IPPROTO_TCP, TCP_KEEPINTVL, 15},
        option{IPPROTO_TCP, TCP_KEEPCNT, 4},   option{IPPROTO_TCP, TCP_USER_TIMEOUT, 60'000},
    };
    for (const option& o : options) {
        ::setsockopt(fd, o.level, o.name, &o.value, sizeof o.value);
    }
}

asio::awaitable<result<stream_socket>> connect(asio::any_io_executor executor, const endpoint& where, duration timeout)
{
    const time_point deadline = clock::now() + timeout;
    auto addresses = co_await resolve(where, deadline);
    if (!addresses) {
        co_return addresses.error();
    }
    failure last{errc::resolve_failed, failure_source::upstream, true, where.to_string() + ": it has no address"};
    for (std::size_t i = 0; i < addresses->size(); ++i) {
        const socket_address& address = (*addresses)[i];
        // The address is worth naming where the configuration names something else.
        const std::string whereto =
            numeric_address(where) ? where.to_string() : where.to_string() + " (" + to_string(address) + ")";
        // Asking for the state does not throw; awaiting anything else after a cancellation would.
        const auto cancellation = co_await asio::this_coro::cancellation_state;
        if (cancellation.cancelled() != asio::cancellation_type::none) {
            co_return connect_failure(whereto, asio::error::operation_aborted);
        }
        const time_point now = clock::now();
        const auto share = std::max(deadline - now, duration::zero()) / static_cast<int>(addresses->size() - i);

        stream_socket socket{executor};
        error_code error;
        socket.open(address.protocol(), error);
        if (!error) {
            const bool is_unix = address.protocol().family() == AF_UNIX;
            auto attempt =
                is_unix ? connect_unix(socket, address, now + share) : connect_tcp(socket, address, now + share);
            error = co_await std::move(attempt);
        }
        if (!error) {
            co_return std::move(socket);
        }
        last = connect_failure(whereto, error);
        if (last.code == errc::canceled || last.code == errc::too_many) {
            break;
        }
    }
    co_return last;
}

}  // namespace buildkit_lb
