#pragma once

#include <atomic>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <string>

#include "core/endpoint.hpp"
#include "core/listening_socket.hpp"
#include "core/socket.hpp"
#include "core/task_group.hpp"
#include "metrics/instruments.hpp"
#include "proxy/data_thread.hpp"

namespace buildkit_lb::proxy {

struct listener_settings {
    std::string name;
    endpoint address;
    std::uint32_t max_connections = 10000;
    passed_sockets* passed = nullptr;  ///< the service manager's, if there are any; outlives the listener
    /// True while no new connection is to be accepted, however few there are: the process is too large. Empty: never.
    std::function<bool()> too_large = {};
};

/// Accepts connections on one address and hands each to the least busy data thread. Lives on the control thread;
/// must outlive the connections it accepted (stop the data plane first).
///
/// Accepting pauses while max_connections are open, or the process is out of file descriptors or too large: new clients
/// wait in the kernel's backlog, and nothing that runs is lost.
class listener {
public:
    /// Runs one connection until it ends, on the data thread it was given to.
    using connection_handler = std::function<boost::asio::awaitable<void>(data_thread&, stream_socket)>;

    /// Binds. Throws std::runtime_error naming the address and the remedy when that fails.
    listener(boost::asio::any_io_executor control, listener_settings settings, data_plane& threads,
             metrics::instruments& instruments, connection_handler handler);
    ~listener();

    /// New connections come here from now on, also where another process had the address before. Throws like the
    /// constructor.
    void listen();

    /// Begins to accept.
    void start();

    /// From the next connection on. The name and the address stay as they are.
    void update(std::uint32_t max_connections, connection_handler handler);

    /// Takes those that have connected already, and closes the socket: at once, or where another one takes over, once
    /// none that was under way to this one can come any more. Connections go on.
    void close();

    /// The same without waiting for anybody.
    void close_now();

    bool closed() const { return !socket_.is_open(); }

    boost::asio::awaitable<void> join() { return tasks_.join(); }

    /// Closed, nothing of it runs, and its connections have ended: it may go.
    bool idle() const { return closed() && tasks_.size() == 0 && connections() == 0; }

    const endpoint& address() const { return settings_.address; }
    const std::string& name() const { return settings_.name; }
    std::uint32_t connections() const { return connections_.load(std::memory_order_relaxed); }

    /// The address it is bound to: with port 0 the port the kernel chose.
    std::string local_address() const { return socket_.local_address(); }

private:
    class counted;

    boost::asio::awaitable<void> accept_loop();
    boost::asio::awaitable<void> pause(std::string_view reason);
    boost::asio::awaitable<void> close_later();
    void take_waiting();
    void hand_over(int fd);

    boost::asio::any_io_executor control_;
    listener_settings settings_;
    data_plane& threads_;
    metrics::listener_metrics& metrics_;
    std::shared_ptr<const connection_handler> handler_;  // each connection keeps the one that it began with
    listening_socket socket_;
    std::atomic<std::uint32_t> connections_{0};
    bool closing_ = false;
    bool paused_ = false;
    task_group tasks_;
};

}  // namespace buildkit_lb::proxy
