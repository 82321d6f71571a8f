// What the peer sends: bytes through header_filter into nghttp2, whose callbacks become events.
#include <utility>

#include "http2/engine_impl.hpp"

namespace buildkit_lb::http2 {
namespace {

engine::impl& self(void* user_data)
{
    return *static_cast<engine::impl*>(user_data);
}

std::string_view text(const std::uint8_t* bytes, std::size_t size)
{
    return {reinterpret_cast<const char*>(bytes), size};
}

}  // namespace

stream_state* engine::impl::stream_of(std::int32_t wire_id)
{
    if (latest_ == nullptr || latest_->wire_id != wire_id) {
        latest_ = static_cast<stream_state*>(nghttp2_session_get_stream_user_data(session_, wire_id));
    }
    return latest_;
}

void engine::impl::receive(buffer_slice bytes)
{
    if (failed_ || silent_ || bytes.empty()) {
        return;
    }
    receiving_ = true;
    now_ = limits_.now();
    input_ = &bytes;
    std::span<const std::byte> left = bytes.span();
    while (!failed_ && flood_ == flood::none) {
        const std::span<const std::byte> piece = filter_.next(left);
        if (piece.empty()) {
            break;
        }
        feed(piece);
    }
    input_ = nullptr;
    if (filter_.flooded() && !failed_) {
        nghttp2_session_terminate_session(session_, NGHTTP2_ENHANCE_YOUR_CALM);
        fail(error_code::enhance_your_calm, "header_flood", "a header block above the bounds");
    }
    give_up_flooding_peer();
    if (filter_.shut() && !failed_) {
        nghttp2_session_terminate_session(session_, static_cast<std::uint32_t>(stale_error_));
        fail(stale_error_, to_string(stale_error_), "a frame on a stream that is closed");
    }
    if (!failed_) {
        return_connection_credit();
        pump();
        raise_late_events();
    }
    receiving_ = false;
    if (wants_output()) {
        notify();
    }
}

void engine::impl::feed(std::span<const std::byte> bytes)
{
    const ssize_t taken =
        nghttp2_session_mem_recv(session_, reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
    if (taken >= 0) {
        return;
    }
    error_code code = error_code::internal_error;
    std::string_view kind = "internal_error";
    if (taken == NGHTTP2_ERR_BAD_CLIENT_MAGIC) {
        code = error_code::protocol_error;
        kind = "bad_preface";
    } else if (taken == NGHTTP2_ERR_FLOODED) {
        code = error_code::enhance_your_calm;
        kind = "ack_flood";
    }
    nghttp2_session_terminate_session(session_, static_cast<std::uint32_t>(code));
    fail(code, kind, nghttp2_strerror(static_cast<int>(taken)));
}

void engine::impl::return_connection_credit()
{
    const std::size_t credit = budget_.take_connection_credit();
    if (credit > 0) {
        nghttp2_session_consume_connection(session_, credit);
    }
}

int engine::impl::on_begin_headers(nghttp2_session* session, const nghttp2_frame* frame, void* user_data) noexcept
{
    impl& e = self(user_data);
    e.incoming_.clear();
    e.incoming_size_ = 0;
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
        stream_state& s = e.new_stream();
        s.wire_id = frame->hd.stream_id;
        s.counted = true;
        ++e.open_theirs_;
        e.stale_.opened(static_cast<std::uint32_t>(s.wire_id));
        nghttp2_session_set_stream_user_data(session, s.wire_id, &s);
        e.latest_ = &s;
    }
    e.incoming_.reserve(16, 512);
    return 0;
}

int engine::impl::on_header(nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t* name,
                            std::size_t name_size, const std::uint8_t* value, std::size_t value_size,
                            std::uint8_t flags, void* user_data) noexcept
{
    impl& e = self(user_data);
    stream_state* const s = e.stream_of(frame->hd.stream_id);
    if (s == nullptr || s->muted) {
        return 0;
    }
    return e.header_received(*s,
                             {text(name, name_size), text(value, value_size), (flags & NGHTTP2_NV_FLAG_NO_INDEX) != 0});
}

int engine::impl::header_received(stream_state& s, header field)
{
    error_code refused = error_code::no_error;
    if (const auto large = filter_.values().find(field.value)) {
        field.value = large->value;
        if (large->too_large) {
            refused = error_code::enhance_your_calm;
        } else if (nghttp2_check_header_value(reinterpret_cast<const std::uint8_t*>(field.value.data()),
                                              field.value.size()) == 0) {
            refused = error_code::protocol_error;
        }
    }
    incoming_size_ += field.name.size() + field.value.size() + 32;
    // Small tables make large lists: those of all open requests together have a bound too.
    if (incoming_size_ > limits_.max_header_list || header_bytes_ + incoming_size_ > limits_.memory_budget) {
        refused = error_code::enhance_your_calm;
    }
    if (refused == error_code::no_error) {
        incoming_.add(field.name, field.value, field.sensitive);
        return 0;
    }
    if (refused == error_code::enhance_your_calm) {
        handler_.on_refused("header_list");
    }
    // The rest of the block is still decoded, for the sake of the table.
    nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, s.wire_id, static_cast<std::uint32_t>(refused));
    charge_reset(&s, refused == error_code::enhance_your_calm);
    raise_reset(s, refused, reset_source::engine, false,
                refused == error_code::protocol_error ? "malformed header value" : "header list too large");
    incoming_ = {};
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

int engine::impl::on_invalid_header(nghttp2_session*, const nghttp2_frame*, const std::uint8_t*, std::size_t,
                                    const std::uint8_t*, std::size_t, std::uint8_t, void*) noexcept
{
    // nghttp2 would leave the field out. Malformed is malformed: it resets the stream (PROTOCOL_ERROR).
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

int engine::impl::on_frame(nghttp2_session*, const nghttp2_frame* frame, void* user_data) noexcept
{
    impl& e = self(user_data);
    switch (frame->hd.type) {
        case NGHTTP2_HEADERS:
            if (stream_state* const s = e.stream_of(frame->hd.stream_id)) {
                e.headers_complete(*s, *frame);
            }
            break;
        case NGHTTP2_DATA:
            if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) {
                if (stream_state* const s = e.stream_of(frame->hd.stream_id)) {
                    e.end_received(*s);
                }
            }
            break;
        case NGHTTP2_RST_STREAM:
            if (stream_state* const s = e.stream_of(frame->hd.stream_id)) {
                const auto code = static_cast<error_code>(frame->rst_stream.error_code);
                e.raise_reset(*s, code, reset_source::peer, code == error_code::refused_stream, "reset by peer");
            }
            break;
        case NGHTTP2_SETTINGS:
            if ((frame->hd.flags & NGHTTP2_FLAG_ACK) == 0) {
                e.settings_received();
            }
            break;
        case NGHTTP2_GOAWAY:
            e.goaway_received_ = true;
            e.handler_.on_goaway({frame->goaway.last_stream_id, static_cast<error_code>(frame->goaway.error_code),
                                  text(frame->goaway.opaque_data, frame->goaway.opaque_data_len)});
            e.give_up_pending();
            break;
        default: break;
    }
    return 0;
}

void engine::impl::headers_complete(stream_state& s, const nghttp2_frame& frame)
{
    header_list headers = std::move(incoming_);
    incoming_ = {};
    if (s.muted) {
        return;
    }
    const bool end = (frame.hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    if (frame.headers.cat == NGHTTP2_HCAT_REQUEST) {
        s.header_bytes = static_cast<std::uint32_t>(incoming_size_);
        header_bytes_ += incoming_size_;
        stream_handler* const chosen = handler_.on_request(s.ref, std::move(headers), end);
        if (s.handler == nullptr) {
            s.handler = chosen;
        }
        if (s.handler == nullptr && !s.muted) {
            s.muted = true;
            nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, s.wire_id, NGHTTP2_REFUSED_STREAM);
            charge_reset(&s);
        }
    } else if (as_ == role::server || s.answered) {
        s.handler->on_trailers(s.ref, std::move(headers));
    } else if (headers.get(":status").starts_with('1')) {
        s.handler->on_informational(s.ref, std::move(headers));
    } else {
        s.answered = true;
        s.handler->on_headers(s.ref, std::move(headers), end);
    }
    if (end) {
        end_received(s);
    }
}

void engine::impl::end_received(stream_state& s)
{
    budget_.ended(s.window);
    if (!s.muted) {
        s.handler->on_end(s.ref);
    }
}

bool engine::impl::admits(void* context, const header_filter::frame_header& frame)
{
    impl& e = self(context);
    e.flood_ = e.guard_.frame(frame.type, frame.flags, frame.length, e.now_);
    if (e.flood_ != flood::none) {
        return false;
    }
    return frame.type > NGHTTP2_HEADERS || e.as_ == role::client || e.judge_stale(frame.stream);
}

bool engine::impl::judge_stale(std::uint32_t wire_id)
{
    if (wire_id % 2 == 0 || wire_id > stale_.newest() ||
        (latest_ != nullptr && static_cast<std::uint32_t>(latest_->wire_id) == wire_id) ||
        nghttp2_session_find_stream(session_, static_cast<std::int32_t>(wire_id)) != nullptr) {
        return true;
    }
    stale_error_ = stale_.judge(wire_id);
    return stale_error_ == error_code::no_error;
}

void engine::impl::charge_reset(stream_state* s, bool large)
{
    if (s != nullptr && std::exchange(s->charged, true)) {
        return;
    }
    const flood made = guard_.reset_caused(large, now_);
    if (made != flood::none) {
        flood_ = made;
    }
}

bool engine::impl::give_up_flooding_peer()
{
    if (flood_ == flood::none || failed_) {
        return false;
    }
    nghttp2_session_terminate_session(session_, NGHTTP2_ENHANCE_YOUR_CALM);
    fail(error_code::enhance_your_calm, name_of(flood_), "too many frames that carry nothing");
    return true;
}

int engine::impl::on_invalid_frame(nghttp2_session*, const nghttp2_frame* frame, int why, void* user_data) noexcept
{
    // It may be of a stream that was refused before we heard of it; more of its frames may follow.
    if (frame->hd.stream_id > 0) {
        impl& e = self(user_data);
        if (why == NGHTTP2_ERR_REFUSED_STREAM) {
            e.handler_.on_refused("stream_limit");
        }
        e.stale_.reset(static_cast<std::uint32_t>(frame->hd.stream_id));
        e.charge_reset(e.stream_of(frame->hd.stream_id));
    }
    return 0;
}

void engine::impl::settings_received()
{
    const auto setting = [&](nghttp2_settings_id id) { return nghttp2_session_get_remote_settings(session_, id); };
    peer_.max_concurrent_streams = setting(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
    peer_.initial_window = setting(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE);
    peer_.max_frame_size = setting(NGHTTP2_SETTINGS_MAX_FRAME_SIZE);
    peer_.max_header_list = setting(NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE);
    handler_.on_settings(peer_);
}

int engine::impl::on_data_chunk(nghttp2_session*, std::uint8_t, std::int32_t wire_id, const std::uint8_t* data,
                                std::size_t size, void* user_data) noexcept
{
    impl& e = self(user_data);
    stream_state* const s = e.stream_of(wire_id);
    if (s == nullptr || s->muted) {
        e.budget_.received_unwanted(size);
        return 0;
    }
    e.budget_.received(s->window, size);
    // Payloads of DATA are never touched by the filter: they lie in what receive() was given.
    s->handler->on_data(s->ref, e.input_->subslice({reinterpret_cast<const std::byte*>(data), size}));
    return 0;
}

int engine::impl::on_stream_close(nghttp2_session*, std::int32_t wire_id, std::uint32_t code, void* user_data) noexcept
{
    impl& e = self(user_data);
    stream_state* const s = e.stream_of(wire_id);
    if (s == nullptr) {
        return 0;
    }
    const auto reason = static_cast<error_code>(code);
    if (reason != error_code::no_error) {
        // Not reset by the user nor by RST_STREAM: left out by a GOAWAY, never sent, or found wrong by nghttp2.
        const bool unprocessed = s->mine && reason == error_code::refused_stream;
        if (!s->muted && !unprocessed) {
            e.charge_reset(s);
        }
        e.raise_reset(*s, reason, unprocessed ? reset_source::peer : reset_source::engine, unprocessed,
                      unprocessed ? "left out by GOAWAY" : "malformed");
        e.budget_.abandoned(s->window);
    }
    e.raise_closed(*s);
    return 0;
}

}  // namespace buildkit_lb::http2
