// The public face of an engine: what does no more than hand on to its working parts.
#include <algorithm>

#include "http2/engine_impl.hpp"

namespace buildkit_lb::http2 {

engine::engine(role as, const options& limits, engine_handler& handler)
    : impl_{std::make_unique<impl>(as, limits, handler)}
{
}

engine::~engine() = default;

void engine::receive(buffer_slice bytes)
{
    impl_->receive(std::move(bytes));
}

std::size_t engine::collect(std::vector<buffer_slice>& out, std::size_t max_bytes)
{
    return impl_->collect(out, max_bytes);
}

void engine::connection_lost(std::string_view detail)
{
    impl_->connection_lost(detail);
}

bool engine::wants_output() const
{
    return impl_->wants_output();
}

bool engine::finished() const
{
    return impl_->finished();
}

bool engine::failed() const
{
    return impl_->failed_;
}

stream_ref engine::submit_request(const header_list& headers, stream_handler& handler, bool end_stream, bool urgent)
{
    return impl_->submit_request(headers, handler, end_stream, urgent);
}

bool engine::can_open() const
{
    return impl_->can_open();
}

bool engine::accepts_requests() const
{
    return impl_->accepts_requests();
}

void engine::submit_informational(stream_ref stream, const header_list& headers)
{
    impl_->submit_headers(stream, headers, true, false);
}

void engine::submit_response(stream_ref stream, const header_list& headers, bool end_stream)
{
    impl_->submit_headers(stream, headers, false, end_stream);
}

void engine::send_data(stream_ref stream, buffer_slice data)
{
    impl_->send_data(stream, std::move(data));
}

void engine::end_stream(stream_ref stream)
{
    impl_->end_stream(stream);
}

void engine::submit_trailers(stream_ref stream, const header_list& trailers)
{
    impl_->submit_trailers(stream, trailers);
}

void engine::reset(stream_ref stream, error_code code)
{
    impl_->reset(stream, code);
}

void engine::reset_when_sent(stream_ref stream, error_code code)
{
    impl_->reset_when_sent(stream, code);
}

void engine::consume(stream_ref stream, std::size_t bytes)
{
    impl_->consume(stream, bytes);
}

void engine::set_handler(stream_ref stream, stream_handler& handler)
{
    if (stream_state* const s = impl_->find(stream)) {
        s->handler = &handler;
    }
}

std::size_t engine::queued(stream_ref stream) const
{
    const stream_state* const s = impl_->find(stream);
    return s == nullptr ? 0 : s->out.size();
}

std::size_t engine::unconsumed(stream_ref stream) const
{
    const stream_state* const s = impl_->find(stream);
    return s == nullptr ? 0 : s->window.unconsumed;
}

std::int32_t engine::wire_id(stream_ref stream) const
{
    const stream_state* const s = impl_->find(stream);
    return s == nullptr ? 0 : s->wire_id;
}

bool engine::alive(stream_ref stream) const
{
    const stream_state* const s = impl_->find(stream);
    return s != nullptr && !s->closed;
}

void engine::shutdown_notice()
{
    impl_->shutdown_notice();
}

void engine::goaway(error_code code, std::string_view debug_data)
{
    impl_->goaway(code, debug_data);
}

void engine::terminate(error_code code)
{
    impl_->terminate(code);
}

role engine::as() const
{
    return impl_->as_;
}

std::size_t engine::open_streams() const
{
    return impl_->open_mine_ + impl_->open_theirs_;
}

std::size_t engine::pending_streams() const
{
    return impl_->pending_count_;
}

const peer_settings& engine::peer() const
{
    return impl_->peer_;
}

std::size_t engine::buffered() const
{
    return impl_->budget_.buffered();
}

std::size_t engine::extra_window() const
{
    return impl_->budget_.extra();
}

std::size_t engine::queued() const
{
    return impl_->queued_;
}

std::size_t engine::window(stream_ref stream) const
{
    const stream_state* const s = impl_->find_open(stream);
    if (s == nullptr || s->window.ended) {
        return 0;
    }
    const std::int64_t whole =
        static_cast<std::int64_t>(s->window.target) - static_cast<std::int64_t>(s->window.unconsumed);
    return static_cast<std::size_t>(std::max({whole, s->window.credit, std::int64_t{0}}));
}

std::size_t engine::peer_window(stream_ref stream) const
{
    const stream_state* const s = impl_->find_open(stream);
    if (s == nullptr || s->wire_id == 0) {
        return 0;
    }
    return static_cast<std::size_t>(
        std::max(0, nghttp2_session_get_stream_remote_window_size(impl_->session_, s->wire_id)));
}

std::size_t engine::peer_connection_window() const
{
    return static_cast<std::size_t>(std::max(0, nghttp2_session_get_remote_window_size(impl_->session_)));
}

}  // namespace buildkit_lb::http2
