#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "core/buffer.hpp"
#include "http2/error_code.hpp"
#include "http2/header_list.hpp"

namespace buildkit_lb::http2 {

enum class role : std::uint8_t { client, server };

/// Names a stream of one engine for as long as the engine lives; never used again for another stream. Commands that
/// name a dead stream do nothing. Not the number on the wire: a stream that still waits to be opened has none.
struct stream_ref {
    std::uint32_t slot = 0;
    std::uint32_t generation = 0;  ///< 0: no stream

    explicit operator bool() const { return generation != 0; }
    bool operator==(const stream_ref&) const = default;
};

/// Who ended a stream before its time.
enum class reset_source : std::uint8_t {
    peer,        ///< RST_STREAM, or a GOAWAY that leaves the stream out
    engine,      ///< the engine failed it: malformed or too large headers
    connection,  ///< the connection failed or was lost
};

struct reset_info {
    error_code code = error_code::no_error;
    reset_source source = reset_source::peer;
    bool unprocessed = false;   ///< the peer has not acted on the request: it is safe to send it elsewhere
    std::string_view detail{};  ///< for people, a literal; may be empty
};

struct goaway_info {
    std::int32_t last_stream_id = 0;  ///< 2^31-1: a notice only, the final GOAWAY follows
    error_code code = error_code::no_error;
    std::string_view debug_data;  ///< good during the call
};

struct peer_settings {
    std::uint32_t max_concurrent_streams = 0;
    std::uint32_t initial_window = 0;
    std::uint32_t max_frame_size = 0;
    std::uint32_t max_header_list = 0;
};

struct connection_error {
    error_code code = error_code::protocol_error;
    std::string_view kind;    ///< for metrics: an error_code's name, bad_preface, header_flood, ack_flood, or a flood's
    std::string_view detail;  ///< for people, good during the call
};

/// What happens to one stream. The engine does not own it; it stays valid until on_closed or until the stream is given
/// another handler (engine::set_handler).
///
/// Order: (on_informational)* on_headers (on_data)* (on_trailers)? on_end, in between on_taken, at any point on_reset
/// (after which none of the others come), and at last on_closed. A server's handler gets no on_headers: the request's
/// headers are what engine_handler::on_request was called with.
///
/// The rule of re-entrancy: events are raised only from inside engine::receive, collect and connection_lost; commands
/// never raise one. So a handler may give any command to any engine, also to the one that called it, and may set
/// handlers. It must not call receive, collect or connection_lost of the engine that called it, nor destroy it.
class stream_handler {
public:
    /// A 1xx answer; the final one follows. Client role.
    virtual void on_informational(stream_ref, header_list) {}
    /// The answer. Client role. `end_stream`: nothing follows ("trailers only" in gRPC); on_end is called all the same.
    virtual void on_headers(stream_ref stream, header_list headers, bool end_stream) = 0;
    /// A piece of the body: a slice of what was given to receive(). Give its credit back with engine::consume() when
    /// the bytes have been passed on; until then they count against the stream's window.
    virtual void on_data(stream_ref stream, buffer_slice data) = 0;
    virtual void on_trailers(stream_ref stream, header_list trailers) = 0;
    /// The peer has ended its direction of the stream.
    virtual void on_end(stream_ref stream) = 0;
    /// `bytes` of what was given to send_data() have left the stream's queue for the connection's output.
    virtual void on_taken(stream_ref, std::size_t /*bytes*/) {}
    /// The stream ended before its time. RST_STREAM(NO_ERROR) after the peer's end is reported too: it asks us to stop
    /// sending, and what was received is complete.
    virtual void on_reset(stream_ref stream, const reset_info& info) = 0;
    /// Nothing more comes, and the peer gets nothing more. Called exactly once for every stream. The reference is dead
    /// afterwards, but for one use: bytes received before a regular end stay charged until they are consumed.
    virtual void on_closed(stream_ref stream) = 0;

protected:
    ~stream_handler() = default;
};

/// What happens to the connection as a whole. Not owned by the engine, outlives it. Re-entrancy: see stream_handler.
class engine_handler {
public:
    /// Server role: a request has come. Returns who handles its stream. Where that is nullptr, and set_handler has not
    /// been called for the stream meanwhile (as a relay does), it is refused (REFUSED_STREAM).
    /// `end_stream`: it has no body; the handler's on_end is called all the same.
    virtual stream_handler* on_request(stream_ref stream, header_list headers, bool end_stream) = 0;
    /// The peer takes no new streams. Streams it leaves out are reset as unprocessed, waiting ones too.
    virtual void on_goaway(const goaway_info&) {}
    /// The peer's SETTINGS have come, for the first time or again.
    virtual void on_settings(const peer_settings&) {}
    /// The connection has failed; a GOAWAY is in the output. Every stream has been or is about to be reset and closed.
    virtual void on_error(const connection_error&) {}
    /// A stream of the peer's was reset, and the connection goes on: `stream_limit`, or `header_list` (too large).
    virtual void on_refused(std::string_view /*kind*/) {}
    /// There is output where there was none: call collect() soon. Unlike all other events this one is raised from
    /// inside commands too, so do no more here than to schedule. Once until the next collect().
    virtual void on_output_ready() {}

protected:
    ~engine_handler() = default;
};

}  // namespace buildkit_lb::http2
