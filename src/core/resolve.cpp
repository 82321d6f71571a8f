#include "core/resolve.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstddef>
#include <cstring>
#include <memory>
#include <sys/un.h>

namespace buildkit_lb {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

namespace {

using addresses = std::vector<socket_address>;

addresses to_addresses(const tcp::resolver::results_type& found)
{
    addresses out;
    out.reserve(found.size());
    for (const auto& entry : found) {
        out.emplace_back(entry.endpoint());
    }
    return out;
}

failure lookup_failure(const endpoint& where, const error_code& error)
{
    return {errc::resolve_failed, failure_source::upstream, true, where.to_string() + ": " + error.message()};
}

/// A lookup that may outlive whoever waits for it.
struct lookup {
    explicit lookup(const asio::any_io_executor& executor) : resolver{executor}, done{executor} {}

    tcp::resolver resolver;
    asio::steady_timer done;  // expires at the deadline; cancelled by the answer
    bool answered = false;
    error_code error;
    tcp::resolver::results_type found;
};

}  // namespace

std::optional<socket_address> numeric_address(const endpoint& where)
{
    if (where.type == endpoint::kind::unix_socket) {
        return socket_address{asio::local::stream_protocol::endpoint{where.path}};
    }
    error_code error;
    const auto address = asio::ip::make_address(where.host, error);
    if (error) {
        return std::nullopt;
    }
    return socket_address{tcp::endpoint{address, where.port}};
}

asio::awaitable<result<std::vector<socket_address>>> resolve(const endpoint& where, time_point deadline)
{
    if (const auto address = numeric_address(where)) {
        co_return addresses{*address};
    }
    const auto executor = co_await asio::this_coro::executor;
    // getaddrinfo cannot be cancelled: waiting for it under `||` would wait beyond the deadline. So its handler shares
    // the state, and whoever waits may leave.
    const auto state = std::make_shared<lookup>(executor);
    state->done.expires_at(deadline);
    state->resolver.async_resolve(where.host, std::to_string(where.port), tcp::resolver::numeric_service,
                                  [state](const error_code& error, tcp::resolver::results_type found) {
                                      state->answered = true;
                                      state->error = error;
                                      state->found = std::move(found);
                                      state->done.cancel();
                                  });
    co_await state->done.async_wait(asio::as_tuple(asio::use_awaitable));
    if (state->answered) {
        if (state->error) {
            co_return lookup_failure(where, state->error);
        }
        co_return to_addresses(state->found);
    }
    state->resolver.cancel();
    const auto cancellation = co_await asio::this_coro::cancellation_state;
    if (cancellation.cancelled() != asio::cancellation_type::none) {
        co_return failure{errc::canceled, failure_source::internal, false, where.to_string() + ": canceled"};
    }
    co_return failure{errc::timed_out, failure_source::upstream, true, where.to_string() + ": name lookup timed out"};
}

result<std::vector<socket_address>> resolve_blocking(const endpoint& where)
{
    if (const auto address = numeric_address(where)) {
        return addresses{*address};
    }
    asio::io_context context;
    tcp::resolver resolver{context};
    error_code error;
    const auto found = resolver.resolve(where.host, std::to_string(where.port), tcp::resolver::numeric_service, error);
    if (error) {
        return lookup_failure(where, error);
    }
    return to_addresses(found);
}

std::string to_string(const socket_address& address)
{
    const int family = address.protocol().family();
    if (family == AF_UNIX) {
        constexpr std::size_t path_offset = offsetof(sockaddr_un, sun_path);
        if (address.size() <= path_offset) {
            return "unix";
        }
        // sun_path may or may not be closed by a NUL within the size.
        const char* path = reinterpret_cast<const char*>(address.data()) + path_offset;
        const std::string text{path, strnlen(path, address.size() - path_offset)};
        return text.empty() ? "unix" : text;
    }
    if (family == AF_INET || family == AF_INET6) {
        tcp::endpoint ip;
        if (address.size() <= ip.capacity()) {
            std::memcpy(ip.data(), address.data(), address.size());
            const bool v6 = family == AF_INET6;
            const std::string host = ip.address().to_string();
            return (v6 ? "[" + host + "]" : host) + ":" + std::to_string(ip.port());
        }
    }
    return "unknown";
}

}  // namespace buildkit_lb
