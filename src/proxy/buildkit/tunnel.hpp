#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <functional>
#include <memory>
#include <vector>

#include "http2/engine.hpp"
#include "proxy/buildkit/tunnel_framing.hpp"

namespace buildkit_lb::proxy {

/// Carries the bytes of one HTTP/2 engine (the inner one) in the messages of a Control/Session stream of another (the
/// outer one): the end of a session tunnel, towards the client or towards a worker. Handles the outer stream; lives on
/// its thread. Kept alive by whoever owns it and by its own posted work.
///
/// Memory: the inner engine takes all bytes at once, so the outer stream's credit returns at once, and the inner
/// windows bound what is held; the other way, output is fetched from the inner engine only while little of it waits
/// in the outer stream.
class tunnel final : public http2::stream_handler, public std::enable_shared_from_this<tunnel> {
public:
    struct events {
        /// Bytes from the peer have come for the first time.
        std::function<void()> on_first_bytes;
        /// The peer has ended its direction, or sent what is no tunnel. Once.
        std::function<void()> on_end;
        /// The outer stream is closed: nothing comes any more. Once, and always.
        std::function<void()> on_closed;
    };

    tunnel(boost::asio::any_io_executor executor, http2::engine& outer, http2::engine& inner, events on);

    /// The outer stream, which is to have this object as its handler.
    void set_stream(http2::stream_ref stream) { stream_ = stream; }
    http2::stream_ref stream() const { return stream_; }

    /// The inner engine has output: it goes out soon.
    void schedule_flush();

    /// Passes the inner engine's output on now, as far as the outer stream takes it. Not from inside its events.
    void flush();

    /// The engines are about to be destroyed, or the tunnel is of no use any more: nothing is passed on, no event
    /// called.
    void detach();

    void on_headers(http2::stream_ref, http2::header_list, bool) override;
    void on_data(http2::stream_ref stream, buffer_slice data) override;
    void on_trailers(http2::stream_ref, http2::header_list) override {}
    void on_end(http2::stream_ref) override;
    void on_taken(http2::stream_ref, std::size_t) override { schedule_flush(); }
    void on_reset(http2::stream_ref, const http2::reset_info&) override { end(); }
    void on_closed(http2::stream_ref) override;

private:
    void end();

    boost::asio::any_io_executor executor_;
    http2::engine* outer_;
    http2::engine* inner_;
    events on_;
    http2::stream_ref stream_;
    tunnel_reader reader_;
    std::vector<buffer_slice> input_;
    std::vector<buffer_slice> output_;
    bool spoke_ = false;
    bool ended_ = false;
    bool flush_scheduled_ = false;
};

}  // namespace buildkit_lb::proxy
