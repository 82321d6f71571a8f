#pragma once

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <functional>
#include <vector>

#include "core/socket.hpp"
#include "core/types.hpp"
#include "proxy/data_thread.hpp"

namespace buildkit_lb::proxy {

/// Copies bytes between two sockets in both directions until both have ended: end of file on one side becomes a
/// half-close on the other, a reset becomes a reset. Owned by its connection's coroutine; lives on one data thread.
///
/// Memory: reads go to the thread's scratch buffer; only what the other side did not take at once is copied to a
/// buffer of this relay's, at most one scratch buffer a direction, and nothing more is read until it is gone. An idle
/// relay holds no buffer at all.
class tcp_relay : public idle_watched {
public:
    /// Called with the number of bytes that were passed on. On the data thread.
    using byte_counter = std::function<void(std::size_t)>;

    tcp_relay(data_thread& on, stream_socket downstream, stream_socket upstream, duration idle_timeout);

    /// Returns when both directions have ended. `received` counts bytes from downstream, `sent` bytes to it.
    boost::asio::awaitable<void> run(const byte_counter& received, const byte_counter& sent);

    void check_idle(time_point now) override;

    /// Why it ended before both sides had said everything; nullptr if it did not.
    const char* cut_by() const { return cut_by_; }

    /// The worker has said something.
    bool heard_worker() const { return heard_worker_; }
    /// The worker reset the connection while its client had not ended its side.
    bool reset_by_worker() const { return reset_by_worker_; }

private:
    boost::asio::awaitable<void> pump(stream_socket& from, stream_socket& to, const byte_counter& count);
    boost::asio::awaitable<bool> deliver(stream_socket& to, std::size_t size);
    boost::asio::awaitable<void> watch_for_reset(stream_socket& from);
    /// `side` was reset.
    void cut_after_reset_of(const stream_socket& side);
    /// Closes both sides with a reset.
    void cut(const char* reason);
    void close();

    data_thread& thread_;
    stream_socket downstream_;
    stream_socket upstream_;
    const duration idle_timeout_;
    time_point last_activity_;
    bool closed_ = false;
    const char* cut_by_ = nullptr;
    bool heard_worker_ = false;
    bool reset_by_worker_ = false;
    std::uint8_t open_directions_ = 2;
    std::uint8_t stalled_directions_ = 0;  // whose reader takes nothing now
};

}  // namespace buildkit_lb::proxy
