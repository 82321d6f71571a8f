#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <cstdint>
#include <memory>

#include "core/transport.hpp"
#include "core/types.hpp"
#include "http2/engine.hpp"

namespace buildkit_lb::http2 {

/// Runs an engine over a socket. Owned by whoever accepted or connected the socket; everything happens on the
/// socket's executor, which is single-threaded.
///
/// Use: construct, spawn run() into a task_group, destroy after run() has returned. Commands are given to engine()
/// from anywhere on the thread; their bytes go out together at the end of the round of reading they were given in,
/// or by a flush posted once.
class connection final {
public:
    /// `socket` is connected; `handler` outlives us. No on_output_ready; on_error of kind "lost" when the peer ends it.
    connection(boost::asio::generic::stream_protocol::socket socket, role as, const options& limits,
               engine_handler& handler);
    /// The same over TLS, or whatever else moves bytes.
    connection(std::unique_ptr<byte_transport> transport, role as, const options& limits, engine_handler& handler);
    connection(const connection&) = delete;
    connection& operator=(const connection&) = delete;
    ~connection();

    /// Reads and writes until the connection has ended: closed by either side, failed, finished, or cancelled (as by
    /// close()). Every stream has been closed when it returns. Never throws for what a peer or the network does.
    boost::asio::awaitable<void> run();

    http2::engine& engine();

    /// Ends the connection now; run() returns soon. Streams get on_reset and on_closed from inside run(), not here.
    void close();
    /// Sends GOAWAY, lets open streams end, flushes, closes. close() cuts it short.
    void close_gracefully();

    /// Says GOAWAY with `code` and resets every stream as it goes out; no on_error. Also from inside an event. A peer
    /// that does not take it is closed a few seconds later, as are all that break the rules.
    void terminate(error_code code);

    /// The peer is given up, as if the network had lost it: on_error of kind "lost", then every stream is reset. Not
    /// from inside an event.
    void give_up(std::string_view why);

    /// True once nothing moves any more: the streams' events are about to come or have come.
    bool closed() const;
    /// When a byte last moved, either way.
    time_point idle_since() const;
    std::uint64_t bytes_in() const;
    std::uint64_t bytes_out() const;

private:
    class impl;
    std::unique_ptr<impl> impl_;
};

}  // namespace buildkit_lb::http2
