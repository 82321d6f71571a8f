#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "core/buffer.hpp"
#include "http2/events.hpp"
#include "http2/options.hpp"

namespace buildkit_lb::http2 {

/// One end of an HTTP/2 connection without any I/O: bytes in, events out; commands in, bytes out. The same engine
/// serves a socket, TLS, a test, and the HTTP/2 inside a BuildKit session.
///
/// Owned by whoever moves its bytes, for example http2::connection. Used by one thread. Events go to an
/// engine_handler and to one stream_handler a stream; for the rule of re-entrancy see stream_handler.
///
/// Protocol work (frames, HPACK, state machines, PING acks) is nghttp2's. Ours are the queue of requests above the
/// peer's MAX_CONCURRENT_STREAMS, output by reference, header values above 64 KiB, and flow control:
///
/// - Credit of the connection is returned on receipt, credit of a stream when consume() says so: a slow reader shuts
///   its own stream only.
/// - A stream's window starts at `initial_stream_window` and doubles, up to `max_stream_window`, each time a whole
///   window has been consumed while less than an eighth of it lay unconsumed.
/// - Let `buffered` be the bytes received and not consumed, `extra` what windows are above the initial one. A window
///   grows only where buffered + extra stays within `memory_budget`; while it is above, every stream that consumes
///   falls back to the initial window.
/// - Always: buffered + the credit the peer has for the connection <= memory_budget. Credit of the connection is
///   withheld where it must be, as a last resort; so `buffered` never exceeds the budget, whatever the peer does.
class engine {
public:
    engine(role as, const options& limits, engine_handler& handler);
    engine(const engine&) = delete;
    engine& operator=(const engine&) = delete;
    ~engine();

    // ---- Bytes ----

    /// Takes bytes from the peer, in order. DATA payloads are passed on as parts of `bytes`.
    void receive(buffer_slice bytes);

    /// Appends what is to be sent to `out`, about `max_bytes` (one frame more at most); how many bytes that was.
    /// Fewer than `max_bytes`: there is no more at the moment. What was collected has to be sent, in order.
    std::size_t collect(std::vector<buffer_slice>& out, std::size_t max_bytes);

    /// The transport is gone: every stream is reset (reset_source::connection) and closed.
    void connection_lost(std::string_view detail = {});

    /// True where collect() has something to do.
    bool wants_output() const;
    /// True where the connection has no use any more once its output is sent: it failed, was lost, or a GOAWAY was
    /// exchanged and no stream is left.
    bool finished() const;
    /// True after a connection error or connection_lost().
    bool failed() const;

    // ---- Requests. Client role ----

    /// Sends a request, now or as soon as the peer takes one more stream. Waiting requests go in order, `urgent` ones
    /// ahead of the others. Where no stream can be opened any more (GOAWAY, failure) it is reset as unprocessed.
    stream_ref submit_request(const header_list& headers, stream_handler& handler, bool end_stream,
                              bool urgent = false);
    /// True where a request would be sent at once.
    bool can_open() const;
    /// True until GOAWAY, failure or the last stream number: where false, new requests belong elsewhere.
    bool accepts_requests() const;

    // ---- Answers. Server role ----

    void submit_informational(stream_ref stream, const header_list& headers);
    void submit_response(stream_ref stream, const header_list& headers, bool end_stream);

    // ---- Streams ----

    /// Queues a piece of the body. It is kept by reference until it is sent.
    void send_data(stream_ref stream, buffer_slice data);
    /// Ends our direction, after what is queued.
    void end_stream(stream_ref stream);
    /// Ends our direction with trailers, after what is queued.
    void submit_trailers(stream_ref stream, const header_list& trailers);
    /// Ends the stream at once; what is queued is dropped, on_taken is not called for it.
    void reset(stream_ref stream, error_code code);
    /// The same once our direction has ended and its last byte has been taken: RST_STREAM(NO_ERROR) after an early
    /// answer. Where our direction is never ended it does nothing.
    void reset_when_sent(stream_ref stream, error_code code);
    /// Gives credit back: `bytes` of what on_data brought have been passed on or dropped. Also after on_closed.
    void consume(stream_ref stream, std::size_t bytes);
    /// Hands the stream to another handler, from the next event on. Also from inside an event.
    void set_handler(stream_ref stream, stream_handler& handler);

    /// Bytes given to send_data and not taken yet.
    std::size_t queued(stream_ref stream) const;
    /// Bytes received and not consumed yet.
    std::size_t unconsumed(stream_ref stream) const;
    /// The number on the wire; 0 while it waits to be opened, and of dead streams.
    std::int32_t wire_id(stream_ref stream) const;
    /// True until on_closed.
    bool alive(stream_ref stream) const;

    // ---- Connection ----

    /// Server: tells the peer to open no more streams, while those under way are still taken
    /// (GOAWAY 2^31-1). goaway() a round trip later makes it final.
    void shutdown_notice();
    /// No new streams from the peer; those open go on.
    void goaway(error_code code, std::string_view debug_data = {});
    /// Gives the connection up: GOAWAY, every stream reset (reset_source::connection) and closed by the next
    /// collect(). No on_error.
    void terminate(error_code code);

    // ---- Numbers ----

    role as() const;
    std::size_t open_streams() const;     ///< known to the peer, ours or its own
    std::size_t pending_streams() const;  ///< ours, waiting to be opened
    const peer_settings& peer() const;    ///< as last told, before that the RFC's defaults
    std::size_t buffered() const;         ///< bytes received and not consumed
    std::size_t extra_window() const;     ///< window granted above the initial ones
    std::size_t queued() const;           ///< bytes given to send_data and not taken, all streams
    /// What the peer could send on `stream` now, counting credit that is owed but not sent yet.
    std::size_t window(stream_ref stream) const;
    /// What we may send on `stream` now, and on all streams together.
    std::size_t peer_window(stream_ref stream) const;
    std::size_t peer_connection_window() const;

    class impl;

private:
    std::unique_ptr<impl> impl_;
};

}  // namespace buildkit_lb::http2
