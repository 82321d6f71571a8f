#include "http2/engine.hpp"

#include <array>
#include <limits>
#include <new>
#include <stdexcept>
#include <utility>

#include "http2/engine_impl.hpp"
#include "http2/session_memory.hpp"

namespace buildkit_lb::http2 {
namespace {

/// What nghttp2 may make of one header block that we send.
constexpr std::size_t max_sent_header_block = std::size_t{64} << 20;

/// CONTINUATION frames are bounded by header_filter; nghttp2 sees blocks that it has cut anew.
constexpr std::size_t max_passed_continuations = 4096;

}  // namespace

engine::impl::impl(role as, const options& limits, engine_handler& handler)
    : as_{as},
      limits_{limits},
      handler_{handler},
      budget_{limits_},
      filter_{as, limits_, {&admits, this}},
      guard_{limits_.floods},
      now_{limits_.now()}
{
    peer_.max_concurrent_streams = as == role::client ? limits.assumed_peer_streams : 0xffffffff;
    peer_.initial_window = 65535;
    peer_.max_frame_size = 16384;
    peer_.max_header_list = 0xffffffff;
    create_session();
}

engine::impl::~impl()
{
    nghttp2_session_del(session_);
}

void engine::impl::create_session()
{
    nghttp2_session_callbacks* raw_callbacks = nullptr;
    nghttp2_option* raw_option = nullptr;
    if (nghttp2_session_callbacks_new(&raw_callbacks) != 0 || nghttp2_option_new(&raw_option) != 0) {
        throw std::bad_alloc{};
    }
    const std::unique_ptr<nghttp2_session_callbacks, decltype(&nghttp2_session_callbacks_del)> callbacks{
        raw_callbacks, &nghttp2_session_callbacks_del};
    const std::unique_ptr<nghttp2_option, decltype(&nghttp2_option_del)> option{raw_option, &nghttp2_option_del};

    nghttp2_session_callbacks_set_on_begin_headers_callback(raw_callbacks, &on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(raw_callbacks, &on_header);
    nghttp2_session_callbacks_set_on_invalid_header_callback(raw_callbacks, &on_invalid_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(raw_callbacks, &on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(raw_callbacks, &on_data_chunk);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(raw_callbacks, &on_invalid_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(raw_callbacks, &on_stream_close);
    nghttp2_session_callbacks_set_send_data_callback(raw_callbacks, &on_send_data);
    nghttp2_session_callbacks_set_on_frame_send_callback(raw_callbacks, &on_frame_sent);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(raw_callbacks, &on_frame_not_sent);

    nghttp2_option_set_no_auto_window_update(raw_option, 1);
    nghttp2_option_set_no_closed_streams(raw_option, 1);
    nghttp2_option_set_peer_max_concurrent_streams(raw_option, peer_.max_concurrent_streams);
    nghttp2_option_set_max_send_header_block_length(raw_option, max_sent_header_block);
    nghttp2_option_set_max_continuations(raw_option, max_passed_continuations);
    nghttp2_option_set_max_outbound_ack(raw_option, limits_.max_outbound_acks);
    nghttp2_option_set_max_settings(raw_option, limits_.max_settings_entries);
    // Ours to bound, in both roles: see flood_guard.
    nghttp2_option_set_stream_reset_rate_limit(raw_option, std::numeric_limits<std::uint64_t>::max(),
                                               std::numeric_limits<std::uint64_t>::max());
    // Values pass as they are, also with spaces at their ends.
    nghttp2_option_set_no_rfc9113_leading_and_trailing_ws_validation(raw_option, 1);

    const int made = as_ == role::server
                         ? nghttp2_session_server_new3(&session_, raw_callbacks, this, raw_option, session_memory())
                         : nghttp2_session_client_new3(&session_, raw_callbacks, this, raw_option, session_memory());
    if (made != 0) {
        throw std::bad_alloc{};
    }
    const std::array<nghttp2_settings_entry, 3> settings = {{
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, limits_.initial_stream_window},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, limits_.max_header_list},
        as_ == role::server
            ? nghttp2_settings_entry{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, limits_.max_concurrent_streams}
            : nghttp2_settings_entry{NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
    }};
    if (nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings.data(), settings.size()) != 0 ||
        nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0,
                                              static_cast<std::int32_t>(budget_.connection_window())) != 0) {
        nghttp2_session_del(session_);
        throw std::invalid_argument("HTTP/2 options out of range");
    }
}

stream_state* engine::impl::find(stream_ref ref) const
{
    if (!ref || ref.slot >= slots_.size()) {
        return nullptr;
    }
    stream_state* const s = slots_[ref.slot].get();
    return s->in_use && s->ref == ref ? s : nullptr;
}

stream_state* engine::impl::find_open(stream_ref ref) const
{
    stream_state* const s = find(ref);
    return s == nullptr || s->muted || s->closed ? nullptr : s;
}

stream_state& engine::impl::new_stream()
{
    std::uint32_t slot = 0;
    if (free_.empty()) {
        slot = static_cast<std::uint32_t>(slots_.size());
        slots_.push_back(std::make_unique<stream_state>());
    } else {
        slot = free_.back();
        free_.pop_back();
    }
    stream_state& s = *slots_[slot];
    const std::uint32_t generation = s.ref.generation + 1;
    s = stream_state{};
    s.ref = {slot, generation == 0 ? 1 : generation};
    s.in_use = true;
    budget_.open(s.window);
    return s;
}

void engine::impl::release(stream_state& s)
{
    s.in_use = false;
    // nghttp2 may still point to the slots of a failed connection: they are not used again.
    if (!failed_) {
        free_.push_back(s.ref.slot);
    }
}

void engine::impl::raise_reset(stream_state& s, error_code code, reset_source source, bool unprocessed,
                               std::string_view detail)
{
    if (s.muted) {
        return;
    }
    s.muted = true;
    drop_output(s);
    if (code != error_code::no_error || !s.window.ended) {
        budget_.abandoned(s.window);
    }
    if (s.handler != nullptr) {
        s.handler->on_reset(s.ref, {code, source, unprocessed, detail});
    }
}

void engine::impl::raise_closed(stream_state& s)
{
    if (s.closed) {
        return;
    }
    s.closed = true;
    if (&s == latest_) {
        latest_ = nullptr;
    }
    if (s.counted) {
        --(s.mine ? open_mine_ : open_theirs_);
        s.counted = false;
    }
    header_bytes_ -= std::exchange(s.header_bytes, 0);
    drop_output(s);
    budget_.ended(s.window);
    if (s.handler != nullptr) {
        s.handler->on_closed(s.ref);
    }
    if (s.window.unconsumed == 0) {
        release(s);
    }
}

void engine::impl::close_all(error_code code, std::string_view detail)
{
    failed_ = true;
    give_up_pending();
    // Handlers may ask for new streams meanwhile: those get slots behind and are refused at once, late.
    for (std::size_t i = 0; i < slots_.size(); ++i) {
        stream_state& s = *slots_[i];
        if (!s.in_use || s.closed || s.wire_id == 0) {
            continue;
        }
        raise_reset(s, code, reset_source::connection, false, detail);
        budget_.abandoned(s.window);
        raise_closed(s);
    }
    raise_late_events();
}

bool engine::impl::raise_late_events()
{
    if (late_.empty()) {
        return false;
    }
    std::vector<stream_ref> now;
    now.swap(late_);
    for (const stream_ref ref : now) {
        stream_state* const s = find(ref);
        if (s == nullptr) {
            continue;
        }
        if (s->late_code != error_code::no_error) {
            s->muted = false;
            raise_reset(*s, s->late_code, failed_ ? reset_source::connection : reset_source::engine,
                        s->late_code == error_code::refused_stream, "not sent");
        }
        raise_closed(*s);
    }
    return true;
}

void engine::impl::notify()
{
    if (!notified_ && !collecting_ && !receiving_) {
        notified_ = true;
        handler_.on_output_ready();
    }
}

void engine::impl::fail(error_code code, std::string_view kind, std::string_view detail)
{
    if (failed_) {
        return;
    }
    failed_ = true;
    handler_.on_error({code, kind, detail});
    close_all(code, "connection error");
}

void engine::impl::connection_lost(std::string_view detail)
{
    silent_ = true;
    if (!failed_) {
        close_all(error_code::internal_error, detail.empty() ? "connection lost" : detail);
    } else {
        raise_late_events();
    }
}

bool engine::impl::wants_output() const
{
    return !late_.empty() || (!silent_ && nghttp2_session_want_write(session_) != 0);
}

bool engine::impl::finished() const
{
    return late_.empty() && (silent_ || (!failed_ && nghttp2_session_want_read(session_) == 0 && !wants_output()));
}

bool engine::impl::accepts_requests() const
{
    return as_ == role::client && !failed_ && !terminating_ && !goaway_received_ &&
           nghttp2_session_check_request_allowed(session_) != 0;
}

bool engine::impl::can_open() const
{
    return accepts_requests() && pending_count_ == 0 && open_mine_ < peer_.max_concurrent_streams;
}

}  // namespace buildkit_lb::http2
