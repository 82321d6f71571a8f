// What is sent to the peer: nghttp2's frames, with bodies by reference.
#include <algorithm>

#include "http2/engine_impl.hpp"

namespace buildkit_lb::http2 {
namespace {

/// So much body may be queued by reference since the last collect() before it is looked at again: the transport is
/// slow, and small slices must not pin large blocks meanwhile.
constexpr std::size_t settle_bytes = 512 * 1024;

/// Rounds of events about streams that were never sent, in one collect(): a user who answers each by another request
/// must not keep us here for ever.
constexpr int late_rounds = 2;

/// What the RFC counts for each field of a header list, beside its name and value.
constexpr std::size_t header_overhead = 32;

}  // namespace

std::size_t engine::impl::collect(std::vector<buffer_slice>& out, std::size_t max_bytes)
{
    notified_ = false;
    collecting_ = true;
    most_ = max_bytes;
    gather_.start(out);
    int late = 0;
    bool more = true;
    while (more && gather_.bytes() < most_) {
        while (!silent_ && gather_.bytes() < most_) {
            const std::uint8_t* data = nullptr;
            const ssize_t size = nghttp2_session_mem_send(session_, &data);
            if (size < 0) {
                silent_ = true;
                fail(error_code::internal_error, "internal_error", nghttp2_strerror(static_cast<int>(size)));
            }
            if (size <= 0) {
                break;
            }
            gather_.copy(data, static_cast<std::size_t>(size));
            look_at_frame({data, static_cast<std::size_t>(size)});
        }
        more = pump();
        more = pump_resets() || more;
        more = (late++ < late_rounds && raise_late_events()) || more;
        more = give_up_flooding_peer() || more;
        more = more && !silent_;
    }
    const bool all = gather_.bytes() < most_;
    if (all) {
        settle();
    }
    gather_.finish();
    collecting_ = false;
    if (all && wants_output()) {
        notify();
    }
    return gather_.bytes();
}

void engine::impl::look_at_frame(std::span<const std::uint8_t> frame)
{
    constexpr std::size_t goaway_size = 17;
    const auto number = [&](std::size_t at) {
        return static_cast<std::uint32_t>(frame[at]) << 24 | static_cast<std::uint32_t>(frame[at + 1]) << 16 |
               static_cast<std::uint32_t>(frame[at + 2]) << 8 | frame[at + 3];
    };
    if (frame.size() >= 13 && frame[3] == NGHTTP2_RST_STREAM) {
        stale_.reset(number(5));
        return;
    }
    if (frame.size() < goaway_size || frame[3] != NGHTTP2_GOAWAY) {
        return;
    }
    const auto code = static_cast<error_code>(number(13));
    if (failed_) {
        silent_ = true;
    } else if (terminating_) {
        silent_ = true;
        close_all(code, "terminated");
    } else if (code != error_code::no_error) {
        if (own_goaways_ > 0) {
            --own_goaways_;
            return;
        }
        silent_ = true;
        fail(code, to_string(code),
             {reinterpret_cast<const char*>(frame.data()) + goaway_size, frame.size() - goaway_size});
    }
}

ssize_t engine::impl::on_read_data(nghttp2_session*, std::int32_t, std::uint8_t*, std::size_t length,
                                   std::uint32_t* flags, nghttp2_data_source* source, void* user_data) noexcept
{
    impl& e = *static_cast<impl*>(user_data);
    stream_state& s = *static_cast<stream_state*>(source->ptr);
    if (e.gather_.bytes() >= e.most_) {
        return NGHTTP2_ERR_PAUSE;
    }
    if (s.muted || s.closed || (s.out.empty() && !s.ending)) {
        // A stream that was given up must not seem to end well while the connection's GOAWAY goes out.
        s.deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    const std::size_t size = std::min(length, s.out.size());
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (s.ending && size == s.out.size()) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (s.trailers) {
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            e.add_trailers(s);
        }
    }
    return static_cast<ssize_t>(size);
}

int engine::impl::on_send_data(nghttp2_session*, nghttp2_frame*, const std::uint8_t* header, std::size_t length,
                               nghttp2_data_source* source, void* user_data) noexcept
{
    constexpr std::size_t frame_header_size = 9;
    impl& e = *static_cast<impl*>(user_data);
    stream_state& s = *static_cast<stream_state*>(source->ptr);
    if (length > s.out.size()) {
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    e.gather_.copy(header, frame_header_size);
    e.gather_.take(s.out, length);
    e.queued_ -= length;
    e.guard_.data_sent();
    if (length > 0 && !s.muted) {
        s.handler->on_taken(s.ref, length);
    }
    return e.gather_.bytes() < e.most_ ? 0 : NGHTTP2_ERR_PAUSE;
}

int engine::impl::on_frame_sent(nghttp2_session*, const nghttp2_frame* frame, void* user_data) noexcept
{
    if (frame->hd.type != NGHTTP2_HEADERS) {
        return 0;
    }
    std::size_t size = 0;
    for (std::size_t i = 0; i < frame->headers.nvlen; ++i) {
        const nghttp2_nv& field = frame->headers.nva[i];
        size += field.namelen + field.valuelen + header_overhead;
    }
    impl& e = *static_cast<impl*>(user_data);
    e.unsent_headers_ -= std::min(size, e.unsent_headers_);
    return 0;
}

int engine::impl::on_frame_not_sent(nghttp2_session* session, const nghttp2_frame* frame, int, void* user_data) noexcept
{
    return on_frame_sent(session, frame, user_data);
}

bool engine::impl::fits(const header_list& headers) const
{
    const std::size_t size = headers.wire_size();
    // A peer that reads nothing must not make us keep the answers to all that it asks.
    return size <= peer_.max_header_list && unsent_headers_ + size <= limits_.memory_budget;
}

nghttp2_data_provider engine::impl::provider(stream_state& s) const
{
    nghttp2_data_provider p{};
    p.source.ptr = &s;
    p.read_callback = &on_read_data;
    return p;
}

const engine::impl::nva& engine::impl::as_nva(const header_list& headers)
{
    const auto bytes = [](std::string_view text) {
        // nghttp2 only reads what it is given here.
        return const_cast<std::uint8_t*>(reinterpret_cast<const std::uint8_t*>(text.data()));
    };
    nva_.clear();
    for (const header h : headers) {
        nva_.push_back({bytes(h.name), bytes(h.value), h.name.size(), h.value.size(),
                        static_cast<std::uint8_t>(h.sensitive ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE)});
    }
    return nva_;
}

void engine::impl::add_trailers(stream_state& s)
{
    const nva& fields = as_nva(*s.trailers);
    nghttp2_submit_trailer(session_, s.wire_id, fields.data(), fields.size());
    s.trailers.reset();
}

void engine::impl::open(stream_state& s, const header_list& headers)
{
    const nva& fields = as_nva(headers);
    const nghttp2_data_provider body = provider(s);
    const std::int32_t id =
        nghttp2_submit_request(session_, nullptr, fields.data(), fields.size(), s.body ? &body : nullptr, &s);
    if (id < 0) {
        unsent_headers_ -= headers.wire_size();
        close_late(s, error_code::refused_stream);
        return;
    }
    s.wire_id = id;
    s.counted = true;
    ++open_mine_;
    guard_.request_sent();
}

bool engine::impl::pump()
{
    bool opened = false;
    while (pending_count_ > 0 && open_mine_ < peer_.max_concurrent_streams && accepts_requests()) {
        auto& queue = pending_urgent_.empty() ? pending_ : pending_urgent_;
        const stream_ref ref = queue.front();
        queue.pop_front();
        stream_state* const s = find(ref);
        if (s != nullptr && s->request) {  // else it was reset while it waited
            --pending_count_;
            const auto headers = std::move(s->request);
            open(*s, *headers);
            opened = true;
        }
    }
    if (pending_count_ == 0) {
        pending_.clear();
        pending_urgent_.clear();
    } else if (!accepts_requests()) {
        give_up_pending();
        opened = true;
    }
    return opened;
}

bool engine::impl::pump_resets()
{
    if (when_sent_.empty()) {
        return false;
    }
    bool sent = false;
    std::erase_if(when_sent_, [&](stream_ref ref) {
        stream_state* const s = find_open(ref);
        if (s == nullptr) {
            return true;
        }
        if (s->wire_id == 0 || nghttp2_session_get_stream_local_close(session_, s->wire_id) != 1) {
            return false;
        }
        reset(ref, s->code_when_sent);
        sent = true;
        return true;
    });
    return sent;
}

void engine::impl::settle()
{
    for (const stream_ref ref : fresh_) {
        if (stream_state* const s = find(ref)) {
            s->fresh = false;
            s->out.compact();
        }
    }
    fresh_.clear();
    fresh_bytes_ = 0;
}

void engine::impl::send_data(stream_ref ref, buffer_slice data)
{
    stream_state* const s = find_open(ref);
    if (s == nullptr || s->ending || data.empty()) {
        return;
    }
    const std::size_t size = data.size();
    s->out.push(std::move(data));
    queued_ += size;
    fresh_bytes_ += size;
    if (!s->fresh) {
        s->fresh = true;
        fresh_.push_back(ref);
    }
    resume(*s);
    if (fresh_bytes_ > settle_bytes) {
        settle();
    }
}

void engine::impl::resume(stream_state& s)
{
    if (s.deferred) {
        s.deferred = false;
        nghttp2_session_resume_data(session_, s.wire_id);
    }
    if (s.wire_id != 0) {
        notify();
    }
}

void engine::impl::drop_output(stream_state& s)
{
    queued_ -= s.out.size();
    s.out.clear();
    if (s.trailers) {
        unsent_headers_ -= s.trailers->wire_size();
        s.trailers.reset();
    }
}

}  // namespace buildkit_lb::http2
