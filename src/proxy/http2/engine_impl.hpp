#pragma once

#include <deque>
#include <memory>
#include <nghttp2/nghttp2.h>
#include <string>
#include <vector>

#include "http2/engine.hpp"
#include "http2/flood_guard.hpp"
#include "http2/flow_control.hpp"
#include "http2/header_filter.hpp"
#include "http2/output_queue.hpp"
#include "http2/stale_frames.hpp"

namespace buildkit_lb::http2 {

/// What an engine knows about one stream. Slots are used again, with a new generation.
struct stream_state {
    stream_ref ref;
    std::int32_t wire_id = 0;  // 0: waits to be opened
    stream_handler* handler = nullptr;
    receive_budget::stream_window window;
    output_queue out;
    std::unique_ptr<header_list> request;   // of a stream that waits to be opened
    std::unique_ptr<header_list> trailers;  // to be sent after `out`
    error_code code_when_sent = error_code::no_error;
    error_code late_code = error_code::no_error;  // why it is in late_; no_error: reset by its user

    bool in_use : 1 = false;
    bool mine : 1 = false;           // we opened it
    bool urgent : 1 = false;         // waits ahead of others
    bool muted : 1 = false;          // no more events but on_closed
    bool closed : 1 = false;         // on_closed has been called
    bool counted : 1 = false;        // in open_mine_ or open_theirs_
    bool answered : 1 = false;       // the answer's final headers have passed, either way
    bool body : 1 = false;           // our direction goes on after the headers
    bool deferred : 1 = false;       // nghttp2 waits to be told of more body
    bool ending : 1 = false;         // our direction ends after `out`
    bool fresh : 1 = false;          // in fresh_
    bool charged = false;            // its reset has been charged to the peer
    std::uint32_t header_bytes = 0;  // of its request, while it is open
};

/// The engine's working parts. Files: engine.cpp holds its life and the table of streams, engine_face.cpp the class
/// that users see, engine_input.cpp what comes from the peer, engine_output.cpp what goes there, engine_commands.cpp
/// what users ask for.
class engine::impl {
public:
    impl(role as, const options& limits, engine_handler& handler);
    impl(const impl&) = delete;
    impl& operator=(const impl&) = delete;
    ~impl();

    // Bytes
    void receive(buffer_slice bytes);
    std::size_t collect(std::vector<buffer_slice>& out, std::size_t max_bytes);
    void connection_lost(std::string_view detail);
    bool wants_output() const;
    bool finished() const;

    // Commands
    stream_ref submit_request(const header_list& headers, stream_handler& handler, bool end_stream, bool urgent);
    void submit_headers(stream_ref ref, const header_list& headers, bool informational, bool end_stream);
    void send_data(stream_ref ref, buffer_slice data);
    void end_stream(stream_ref ref);
    void submit_trailers(stream_ref ref, const header_list& trailers);
    void reset(stream_ref ref, error_code code);
    void reset_when_sent(stream_ref ref, error_code code);
    void consume(stream_ref ref, std::size_t bytes);
    void shutdown_notice();
    void goaway(error_code code, std::string_view debug_data);
    void terminate(error_code code);

    // Streams
    stream_state* find(stream_ref ref) const;
    /// The same for commands that need a stream the peer can still hear of.
    stream_state* find_open(stream_ref ref) const;
    /// The stream nghttp2 calls `wire_id`.
    stream_state* stream_of(std::int32_t wire_id);
    bool can_open() const;
    bool accepts_requests() const;

    const role as_;
    const options limits_;
    engine_handler& handler_;
    nghttp2_session* session_ = nullptr;
    receive_budget budget_;
    peer_settings peer_;
    std::size_t open_mine_ = 0;
    std::size_t open_theirs_ = 0;
    std::size_t queued_ = 0;
    std::deque<stream_ref> pending_;
    std::deque<stream_ref> pending_urgent_;
    std::size_t pending_count_ = 0;
    bool failed_ = false;

private:
    using nva = std::vector<nghttp2_nv>;

    // Life
    void create_session();
    stream_state& new_stream();
    void release(stream_state& s);
    void raise_closed(stream_state& s);
    void raise_reset(stream_state& s, error_code code, reset_source source, bool unprocessed, std::string_view detail);
    void close_all(error_code code, std::string_view detail);
    bool raise_late_events();
    void notify();
    void fail(error_code code, std::string_view kind, std::string_view detail);

    // Input, called by nghttp2
    static int on_begin_headers(nghttp2_session*, const nghttp2_frame*, void*) noexcept;
    static int on_header(nghttp2_session*, const nghttp2_frame*, const std::uint8_t*, std::size_t, const std::uint8_t*,
                         std::size_t, std::uint8_t, void*) noexcept;
    static int on_invalid_header(nghttp2_session*, const nghttp2_frame*, const std::uint8_t*, std::size_t,
                                 const std::uint8_t*, std::size_t, std::uint8_t, void*) noexcept;
    static int on_frame(nghttp2_session*, const nghttp2_frame*, void*) noexcept;
    static int on_data_chunk(nghttp2_session*, std::uint8_t, std::int32_t, const std::uint8_t*, std::size_t,
                             void*) noexcept;
    static int on_invalid_frame(nghttp2_session*, const nghttp2_frame*, int, void*) noexcept;
    static int on_stream_close(nghttp2_session*, std::int32_t, std::uint32_t, void*) noexcept;
    int header_received(stream_state& s, header field);
    void headers_complete(stream_state& s, const nghttp2_frame& frame);
    void end_received(stream_state& s);
    static bool admits(void* context, const header_filter::frame_header& frame);
    bool judge_stale(std::uint32_t wire_id);
    void charge_reset(stream_state* s, bool large = false);
    bool give_up_flooding_peer();
    void settings_received();
    void feed(std::span<const std::byte> bytes);
    void return_connection_credit();

    // Output
    static ssize_t on_read_data(nghttp2_session*, std::int32_t, std::uint8_t*, std::size_t, std::uint32_t*,
                                nghttp2_data_source*, void*) noexcept;
    static int on_send_data(nghttp2_session*, nghttp2_frame*, const std::uint8_t*, std::size_t, nghttp2_data_source*,
                            void*) noexcept;
    bool pump();
    bool pump_resets();
    void open(stream_state& s, const header_list& headers);
    void look_at_frame(std::span<const std::uint8_t> frame);
    void settle();
    const nva& as_nva(const header_list& headers);
    bool fits(const header_list& headers) const;
    static int on_frame_sent(nghttp2_session*, const nghttp2_frame*, void*) noexcept;
    static int on_frame_not_sent(nghttp2_session*, const nghttp2_frame*, int, void*) noexcept;
    void add_trailers(stream_state& s);
    void drop_output(stream_state& s);
    void resume(stream_state& s);
    void close_late(stream_state& s, error_code code);
    void give_up_pending();
    nghttp2_data_provider provider(stream_state& s) const;

    header_filter filter_;
    stale_frames stale_;
    flood_guard guard_;
    time_point now_{};                // of the latest receive()
    flood flood_ = flood::none;       // which the peer makes; acted on outside of nghttp2's callbacks
    stream_state* latest_ = nullptr;  // that stream_of() has found: most frames come in runs of one stream
    error_code stale_error_ = error_code::no_error;
    std::vector<std::unique_ptr<stream_state>> slots_;
    std::vector<std::uint32_t> free_;
    std::vector<stream_ref> late_;       // reset or closed by a command: their events are yet to be raised
    std::vector<stream_ref> when_sent_;  // with reset_when_sent
    std::vector<stream_ref> fresh_;      // given output since settle() looked at them last
    std::size_t fresh_bytes_ = 0;
    header_list incoming_;  // the header block being decoded
    std::size_t incoming_size_ = 0;
    std::size_t header_bytes_ = 0;         // of all requests that are open
    std::size_t unsent_headers_ = 0;       // given to us and not sent yet, of all streams
    const buffer_slice* input_ = nullptr;  // what receive() was given
    output_gather gather_;
    std::size_t most_ = 0;  // bytes collect() may gather
    nva nva_;
    int own_goaways_ = 0;  // asked for by the user with an error code, and not sent yet
    bool goaway_received_ = false;
    bool terminating_ = false;  // the next GOAWAY is the end, and known to the user
    bool silent_ = false;       // nothing is sent any more
    bool collecting_ = false;
    bool receiving_ = false;
    bool notified_ = false;
};

}  // namespace buildkit_lb::http2
