#include "proxy/tcp/tcp_relay.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <sys/socket.h>

namespace buildkit_lb::proxy {

namespace asio = boost::asio;
using namespace asio::experimental::awaitable_operators;

namespace {

constexpr auto as_result = asio::as_tuple(asio::use_awaitable);

// How many full reads one direction may do before the other connections of the thread get their turn.
constexpr int reads_per_turn = 8;

bool would_block(int error)
{
    return error == EAGAIN || error == EWOULDBLOCK;
}

/// Sends what the kernel takes at once. Less than `size` with errno EAGAIN means: not now; another errno: never.
std::size_t send_some(int fd, const char* data, std::size_t size)
{
    std::size_t sent = 0;
    while (sent < size) {
        const auto n = ::send(fd, data + sent, size - sent, MSG_NOSIGNAL);
        if (n >= 0) {
            sent += static_cast<std::size_t>(n);
        } else if (errno != EINTR) {
            break;
        }
    }
    return sent;
}

/// True when the connection was reset, or failed otherwise; asking takes the error off the socket. A wait for errors
/// also ends when both directions have been shut down, and on a unix socket when the peer has closed: what was sent
/// before is still to be delivered then.
bool has_failed(stream_socket& socket)
{
    int error = 0;
    socklen_t size = sizeof(error);
    return ::getsockopt(socket.native_handle(), SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error != 0;
}

}  // namespace

tcp_relay::tcp_relay(data_thread& on, stream_socket downstream, stream_socket upstream, duration idle_timeout)
    : thread_{on},
      downstream_{std::move(downstream)},
      upstream_{std::move(upstream)},
      idle_timeout_{idle_timeout},
      last_activity_{clock::now()}
{
    downstream_.native_non_blocking(true);
    upstream_.native_non_blocking(true);
    thread_.watch(*this);
}

asio::awaitable<void> tcp_relay::run(const byte_counter& received, const byte_counter& sent)
{
    auto up = pump(downstream_, upstream_, received);
    auto down = pump(upstream_, downstream_, sent);
    co_await (std::move(up) && std::move(down));
}

asio::awaitable<void> tcp_relay::pump(stream_socket& from, stream_socket& to, const byte_counter& count)
{
    int reads = 0;
    while (!closed_) {
        auto& scratch = thread_.scratch();
        const auto n = ::recv(from.native_handle(), scratch.data(), scratch.size(), 0);
        if (n > 0) {
            last_activity_ = clock::now();
            const auto size = static_cast<std::size_t>(n);
            if (!co_await deliver(to, size)) {
                break;
            }
            heard_worker_ = heard_worker_ || &from == &upstream_;
            count(size);
            if (++reads % reads_per_turn == 0) {
                co_await asio::post(from.get_executor(), asio::use_awaitable);
            }
            continue;
        }
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 && would_block(errno)) {
            reads = 0;
            const auto [error] = co_await from.async_wait(stream_socket::wait_read, as_result);
            if (error) {
                break;
            }
            continue;
        }
        if (n == 0) {
            ::shutdown(to.native_handle(), SHUT_WR);
            if (--open_directions_ > 0) {
                co_await watch_for_reset(from);
            } else {
                close();  // both sides have said everything; this ends the other direction's watch
            }
            co_return;
        }
        cut_after_reset_of(from);
    }
    close();
}

asio::awaitable<bool> tcp_relay::deliver(stream_socket& to, std::size_t size)
{
    std::size_t done = send_some(to.native_handle(), thread_.scratch().data(), size);
    if (done == size) {
        co_return true;
    }
    if (!would_block(errno)) {
        cut_after_reset_of(to);
        co_return false;
    }
    // The scratch buffer is everybody's as soon as this coroutine waits.
    const std::vector<char> rest(thread_.scratch().begin() + static_cast<std::ptrdiff_t>(done),
                                 thread_.scratch().begin() + static_cast<std::ptrdiff_t>(size));
    done = 0;
    while (done < rest.size()) {
        ++stalled_directions_;
        const auto [error] = co_await to.async_wait(stream_socket::wait_write, as_result);
        --stalled_directions_;
        if (error || closed_) {
            co_return false;
        }
        done += send_some(to.native_handle(), rest.data() + done, rest.size() - done);
        if (done < rest.size() && !would_block(errno)) {
            cut_after_reset_of(to);
            co_return false;
        }
        last_activity_ = clock::now();
    }
    co_return true;
}

asio::awaitable<void> tcp_relay::watch_for_reset(stream_socket& from)
{
    // Nothing is read from a side that has said everything, so its reset would go unseen until something is sent to it.
    const auto [error] = co_await from.async_wait(stream_socket::wait_error, as_result);
    if (!error && !closed_ && has_failed(from)) {
        cut("reset");
    }
}

void tcp_relay::cut_after_reset_of(const stream_socket& side)
{
    reset_by_worker_ = reset_by_worker_ || (!closed_ && &side == &upstream_ && open_directions_ == 2);
    cut("reset");
}

void tcp_relay::cut(const char* reason)
{
    if (!closed_) {
        cut_by_ = reason;
        boost::system::error_code ignored;
        const asio::socket_base::linger reset{true, 0};
        downstream_.set_option(reset, ignored);
        upstream_.set_option(reset, ignored);
        close();
    }
}

void tcp_relay::close()
{
    closed_ = true;
    boost::system::error_code ignored;
    downstream_.close(ignored);
    upstream_.close(ignored);
}

void tcp_relay::check_idle(time_point now)
{
    // Nothing is read from a side while the other one does not take what it sent: its reset would go unseen.
    if (!closed_ && stalled_directions_ != 0 && (has_failed(downstream_) || has_failed(upstream_))) {
        cut("reset");
    }
    if (!closed_ && now - last_activity_ >= idle_timeout_) {
        cut_by_ = "idle";
        close();
    }
}

}  // namespace buildkit_lb::proxy
