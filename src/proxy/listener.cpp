#include "proxy/listener.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <stdexcept>
#include <sys/socket.h>
#include <system_error>
#include <unistd.h>

#include "core/log.hpp"
#include "core/resolve.hpp"

namespace buildkit_lb::proxy {

namespace asio = boost::asio;
using namespace std::chrono_literals;

namespace {

constexpr int backlog = 4096;

// How soon accepting is tried again after a pause. Clients wait in the backlog meanwhile.
constexpr auto pause_time = 50ms;

// How long a listener that another socket takes over from goes on accepting: connections whose handshake had begun end
// up here, and a segment that was lost on the way is sent again after one second.
constexpr auto settle_time = 1500ms;

// How many connections are accepted before other work of the control thread gets its turn.
constexpr int accepts_per_turn = 64;

bool out_of_resources(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

}  // namespace

/// Counts a connection of this listener for as long as it lives.
class listener::counted {
public:
    explicit counted(listener& of) : of_{&of}
    {
        of_->connections_.fetch_add(1, std::memory_order_relaxed);
        of_->metrics_.connection_opened();
    }
    counted(counted&& other) noexcept : of_{std::exchange(other.of_, nullptr)} {}
    counted& operator=(counted&&) = delete;
    ~counted()
    {
        if (of_ != nullptr) {
            of_->connections_.fetch_sub(1, std::memory_order_relaxed);
            of_->metrics_.connection_closed();
        }
    }

private:
    listener* of_;
};

listener::listener(asio::any_io_executor control, listener_settings settings, data_plane& threads,
                   metrics::instruments& instruments, connection_handler handler)
    : control_{control},
      settings_{std::move(settings)},
      threads_{threads},
      metrics_{instruments.for_listener(settings_.name)},
      handler_{std::make_shared<const connection_handler>(std::move(handler))},
      socket_{control, settings_.address, settings_.passed},
      tasks_{control}
{
}

listener::~listener()
{
    close_now();
}

void listener::listen()
{
    socket_.listen(backlog);
}

void listener::start()
{
    tasks_.spawn("accept", accept_loop());
}

void listener::update(std::uint32_t max_connections, connection_handler handler)
{
    settings_.max_connections = max_connections;
    handler_ = std::make_shared<const connection_handler>(std::move(handler));
}

void listener::take_waiting()
{
    // Whoever waits in the backlog has a connection, as far as it knows: closing would reset it. The limit of
    // connections is better exceeded for once.
    for (;;) {
        const int fd = ::accept4(socket_.acceptor().native_handle(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            hand_over(fd);
        } else if (errno != ECONNABORTED && errno != EINTR) {
            return;
        }
    }
}

void listener::close()
{
    if (closed() || std::exchange(closing_, true)) {
        return;
    }
    switch (socket_.give_way()) {
        case successor::service_manager: socket_.close(); break;
        case successor::nobody: close_now(); break;
        case successor::another_socket: tasks_.spawn("close", close_later()); break;
    }
}

asio::awaitable<void> listener::close_later()
{
    asio::steady_timer timer{control_, settle_time};
    co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
    close_now();
}

void listener::close_now()
{
    if (!closed()) {
        take_waiting();
        socket_.close();
    }
}

asio::awaitable<void> listener::accept_loop()
{
    int accepted = 0;
    while (!closed()) {
        if (connections() >= settings_.max_connections && !closing_) {
            co_await pause("max_connections");
            continue;
        }
        if (settings_.too_large && settings_.too_large() && !closing_) {
            co_await pause("memory");
            continue;
        }
        const int fd = ::accept4(socket_.acceptor().native_handle(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            paused_ = false;
            hand_over(fd);
            if (++accepted % accepts_per_turn == 0) {
                co_await asio::post(control_, asio::use_awaitable);
            }
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            const auto [error] = co_await socket_.acceptor().async_wait(asio::socket_base::wait_read,
                                                                        asio::as_tuple(asio::use_awaitable));
            if (error) {
                co_return;
            }
        } else if (out_of_resources(errno)) {
            co_await pause("out_of_descriptors");
        }
        // Anything else is trouble of the one connection that was to be accepted (ECONNABORTED, EPROTO, …).
    }
}

asio::awaitable<void> listener::pause(std::string_view reason)
{
    if (!paused_) {
        paused_ = true;
        metrics_.accepting_paused(reason);
        log::warn("accepting is paused", {{"listener", name()}, {"reason", reason}, {"connections", connections()}});
    }
    asio::steady_timer timer{control_, pause_time};
    co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
}

void listener::hand_over(int fd)
{
    set_tcp_options(fd);
    data_thread& thread = threads_.least_busy();
    auto run = [](std::shared_ptr<const connection_handler> handler, data_thread& on, stream_socket socket, counted,
                  data_thread::place) -> asio::awaitable<void> { co_await (*handler)(on, std::move(socket)); };
    auto begin = [this, &thread, fd, run, handler = handler_, counter = counted{*this},
                  place = data_thread::place{thread}]() mutable {
        stream_socket socket{thread.executor()};
        boost::system::error_code error;
        socket.assign(
            asio::generic::stream_protocol{settings_.address.type == endpoint::kind::tcp ? AF_INET : AF_UNIX, 0}, fd,
            error);
        if (error) {
            ::close(fd);
            return;
        }
        thread.tasks().spawn("connection",
                             run(handler, thread, std::move(socket), std::move(counter), std::move(place)));
    };
    asio::post(thread.executor(), std::move(begin));
}

}  // namespace buildkit_lb::proxy
