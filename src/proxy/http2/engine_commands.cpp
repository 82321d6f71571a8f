// What users ask for. No command raises an event: what follows from one is raised by the next receive() or collect().
#include "http2/engine_impl.hpp"

namespace buildkit_lb::http2 {

stream_ref engine::impl::submit_request(const header_list& headers, stream_handler& handler, bool end_stream,
                                        bool urgent)
{
    stream_state& s = new_stream();
    s.mine = true;
    s.handler = &handler;
    s.body = !end_stream;
    s.ending = end_stream;
    if (!accepts_requests()) {
        close_late(s, error_code::refused_stream);
        return s.ref;
    }
    if (!fits(headers)) {
        close_late(s, error_code::enhance_your_calm);
        return s.ref;
    }
    unsent_headers_ += headers.wire_size();
    if (can_open()) {
        open(s, headers);
    } else {
        s.request = std::make_unique<header_list>(headers);
        (urgent ? pending_urgent_ : pending_).push_back(s.ref);
        ++pending_count_;
        pump();
    }
    notify();
    return s.ref;
}

void engine::impl::submit_headers(stream_ref ref, const header_list& headers, bool informational, bool end_stream)
{
    stream_state* const s = find_open(ref);
    if (s == nullptr || s->mine || s->answered) {
        return;
    }
    if (!fits(headers)) {
        nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, s->wire_id, NGHTTP2_ENHANCE_YOUR_CALM);
        notify();
        return;
    }
    unsent_headers_ += headers.wire_size();
    const nva& fields = as_nva(headers);
    if (informational) {
        nghttp2_submit_headers(session_, NGHTTP2_FLAG_NONE, s->wire_id, nullptr, fields.data(), fields.size(), nullptr);
    } else {
        s->answered = true;
        s->body = !end_stream;
        s->ending = s->ending || end_stream;
        const nghttp2_data_provider body = provider(*s);
        nghttp2_submit_response(session_, s->wire_id, fields.data(), fields.size(), end_stream ? nullptr : &body);
    }
    notify();
}

void engine::impl::end_stream(stream_ref ref)
{
    stream_state* const s = find_open(ref);
    if (s == nullptr || s->ending) {
        return;
    }
    s->ending = true;
    resume(*s);
}

void engine::impl::submit_trailers(stream_ref ref, const header_list& trailers)
{
    stream_state* const s = find_open(ref);
    if (s == nullptr || s->ending) {
        return;
    }
    if (!fits(trailers) && s->wire_id != 0) {
        nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, s->wire_id, NGHTTP2_ENHANCE_YOUR_CALM);
        notify();
        return;
    }
    s->ending = true;
    unsent_headers_ += trailers.wire_size();
    s->trailers = std::make_unique<header_list>(trailers);
    // Trailers need no window, so they don't wait for one behind an empty queue. An own request's headers may still be
    // on their way through nghttp2, and trailers must not overtake them.
    const bool headers_out =
        s->mine ? s->wire_id != 0 && nghttp2_session_get_stream_local_close(session_, s->wire_id) == 0 : s->answered;
    if (s->out.empty() && headers_out) {
        add_trailers(*s);
        notify();
    } else {
        resume(*s);
    }
}

void engine::impl::reset(stream_ref ref, error_code code)
{
    stream_state* const s = find_open(ref);
    if (s == nullptr) {
        return;
    }
    if (s->wire_id == 0) {
        if (s->request) {
            --pending_count_;
        }
        close_late(*s, error_code::no_error);
        return;
    }
    s->muted = true;
    drop_output(*s);
    budget_.abandoned(s->window);
    nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, s->wire_id, static_cast<std::uint32_t>(code));
    notify();
}

void engine::impl::reset_when_sent(stream_ref ref, error_code code)
{
    stream_state* const s = find_open(ref);
    if (s == nullptr) {
        return;
    }
    s->code_when_sent = code;
    when_sent_.push_back(ref);
    notify();
}

void engine::impl::consume(stream_ref ref, std::size_t bytes)
{
    stream_state* const s = find(ref);
    if (s == nullptr) {
        return;
    }
    const std::uint32_t grant = budget_.consumed(s->window, bytes);
    if (s->closed) {
        if (s->window.unconsumed == 0) {
            release(*s);
        }
    } else if (grant > 0 && !s->muted) {
        nghttp2_submit_window_update(session_, NGHTTP2_FLAG_NONE, s->wire_id, static_cast<std::int32_t>(grant));
        notify();
    }
    if (!receiving_ && !failed_) {
        return_connection_credit();
        if (nghttp2_session_want_write(session_) != 0) {
            notify();
        }
    }
}

void engine::impl::close_late(stream_state& s, error_code code)
{
    if (s.request) {
        unsent_headers_ -= s.request->wire_size();
        s.request.reset();
    }
    s.muted = true;
    s.late_code = code;
    drop_output(s);
    late_.push_back(s.ref);
    notify();
}

void engine::impl::give_up_pending()
{
    for (auto* queue : {&pending_urgent_, &pending_}) {
        for (const stream_ref ref : *queue) {
            stream_state* const s = find(ref);
            if (s != nullptr && s->request) {
                close_late(*s, error_code::refused_stream);
            }
        }
        queue->clear();
    }
    pending_count_ = 0;
}

void engine::impl::shutdown_notice()
{
    if (as_ == role::server && !failed_) {
        nghttp2_submit_shutdown_notice(session_);
        notify();
    }
}

void engine::impl::goaway(error_code code, std::string_view debug_data)
{
    if (failed_) {
        return;
    }
    if (code != error_code::no_error) {
        ++own_goaways_;
    }
    nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(session_),
                          static_cast<std::uint32_t>(code), reinterpret_cast<const std::uint8_t*>(debug_data.data()),
                          debug_data.size());
    notify();
}

void engine::impl::terminate(error_code code)
{
    if (failed_ || terminating_) {
        return;
    }
    terminating_ = true;
    nghttp2_session_terminate_session(session_, static_cast<std::uint32_t>(code));
    notify();
}

}  // namespace buildkit_lb::http2
