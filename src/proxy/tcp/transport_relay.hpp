#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>

#include "core/buffer.hpp"
#include "core/transport.hpp"
#include "proxy/data_thread.hpp"

namespace buildkit_lb::proxy {

/// What tcp_relay does, where TLS is on one of the sides or on both: copies bytes in both directions until both have
/// ended. The end of one side becomes the end of what is written to the other; a failure closes both. Owned by its
/// connection's coroutine; lives on one data thread. At most one block of memory a direction, none while idle.
class transport_relay : public idle_watched {
public:
    /// Called with the number of bytes that were passed on. On the data thread.
    using byte_counter = std::function<void(std::size_t)>;

    transport_relay(data_thread& on, std::unique_ptr<byte_transport> downstream,
                    std::unique_ptr<byte_transport> upstream, duration idle_timeout);

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
    /// One direction: its bytes are read, then written.
    struct flow {
        transport_relay& relay;
        byte_transport& from;
        byte_transport& to;
        byte_counter count = {};
        buffer_slice unsent = {};
        bool ended = false;
    };

    static void on_ready(void* context, const boost::system::error_code& error);
    byte_transport::callback resuming(flow& f);
    void pump(flow& f);
    bool read(flow& f);
    bool write(flow& f);
    void cut_after_reset_of(const byte_transport& side);
    void cut(const char* reason);
    void close();

    std::unique_ptr<byte_transport> downstream_;
    std::unique_ptr<byte_transport> upstream_;
    flow up_;
    flow down_;
    boost::asio::steady_timer changed_;  // run() waits on it: cancelled when something has changed
    const duration idle_timeout_;
    time_point last_activity_;
    int outstanding_ = 0;  // callbacks that will come back to us
    bool closed_ = false;
    const char* cut_by_ = nullptr;
    bool heard_worker_ = false;
    bool reset_by_worker_ = false;
};

}  // namespace buildkit_lb::proxy
