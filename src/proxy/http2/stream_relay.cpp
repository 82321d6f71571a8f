#include "http2/stream_relay.hpp"

#include <algorithm>
#include <utility>

namespace buildkit_lb::http2 {
namespace {

/// One direction of the bodies: the inner loop of the proxy.
struct body_relay {
    engine& from;
    stream_ref from_stream;
    engine& to;
    stream_ref to_stream;
    std::size_t in_flight = 0;  // given to `to` and not taken
    std::size_t unowed = 0;     // its first bytes, for which `from` is owed no credit
    std::size_t passed = 0;
    bool open = true;  // false: nobody reads it any more, it is dropped as it comes

    void forward(buffer_slice data)
    {
        const std::size_t size = data.size();
        if (!open) {
            from.consume(from_stream, size);
            return;
        }
        in_flight += size;
        passed += size;
        to.send_data(to_stream, std::move(data));
    }

    void taken(std::size_t bytes)
    {
        bytes = std::min(bytes, in_flight);  // bytes that others have sent on the stream are taken too
        in_flight -= bytes;
        const std::size_t free = std::min(unowed, bytes);
        unowed -= free;
        from.consume(from_stream, bytes - free);
    }

    /// What `to` held has been dropped with its stream.
    void drop()
    {
        open = false;
        from.consume(from_stream, std::exchange(in_flight, 0) - std::exchange(unowed, 0));
    }
};

/// The fields of an answer that is headers only, for one whose headers were sent before.
header_list as_trailers(const header_list& headers)
{
    header_list trailers;
    for (const auto& field : headers) {
        if (!field.name.starts_with(':') && field.name != "content-type" && field.name != "content-length") {
            trailers.add(field.name, field.value);
        }
    }
    return trailers;
}

/// For streams that outlive their relay.
class discarding_handler final : public stream_handler {
public:
    void on_headers(stream_ref, header_list, bool) override {}
    void on_data(stream_ref, buffer_slice) override {}
    void on_trailers(stream_ref, header_list) override {}
    void on_end(stream_ref) override {}
    void on_reset(stream_ref, const reset_info&) override {}
    void on_closed(stream_ref) override {}
};

discarding_handler discard;

}  // namespace

struct stream_relay::state {
    /// Handles the downstream stream: the request.
    class request_side final : public stream_handler {
    public:
        explicit request_side(state& owner) : s_{owner} {}
        void on_headers(stream_ref, header_list, bool) override {}
        void on_data(stream_ref, buffer_slice data) override { s_.up.forward(std::move(data)); }
        void on_taken(stream_ref, std::size_t bytes) override { s_.down.taken(bytes); }
        void on_trailers(stream_ref, header_list trailers) override { s_.end_request(&trailers); }
        void on_end(stream_ref) override { s_.end_request(nullptr); }
        void on_reset(stream_ref, const reset_info& info) override { s_.request_reset(info); }
        void on_closed(stream_ref) override
        {
            s_.downstream_closed = true;
            s_.closed();
        }

    private:
        state& s_;
    };

    /// Handles the upstream stream: the answer.
    class answer_side final : public stream_handler {
    public:
        explicit answer_side(state& owner) : s_{owner} {}
        void on_informational(stream_ref, header_list headers) override
        {
            s_.downstream.submit_informational(s_.request, headers);
        }
        void on_headers(stream_ref, header_list headers, bool end_stream) override
        {
            s_.observer.on_response(s_.self, headers, end_stream);
            s_.answer_ended = end_stream;
            if (!std::exchange(s_.answer_started, true)) {
                s_.downstream.submit_response(s_.request, headers, end_stream);
            } else if (end_stream) {
                s_.downstream.submit_trailers(s_.request, as_trailers(headers));
            }
        }
        void on_data(stream_ref, buffer_slice data) override
        {
            s_.observer.on_response_data(s_.self, data);
            s_.down.forward(std::move(data));
        }
        void on_taken(stream_ref, std::size_t bytes) override { s_.up.taken(bytes); }
        void on_trailers(stream_ref, header_list trailers) override
        {
            s_.observer.on_trailers(s_.self, trailers);
            s_.answer_ended = true;
            s_.downstream.submit_trailers(s_.request, trailers);
        }
        void on_end(stream_ref) override
        {
            s_.answer_complete = true;
            if (!s_.answer_ended) {
                s_.answer_ended = true;
                s_.downstream.end_stream(s_.request);
            }
        }
        void on_reset(stream_ref, const reset_info& info) override { s_.answer_reset(info); }
        void on_closed(stream_ref) override
        {
            s_.upstream_closed = true;
            s_.up.drop();
            s_.closed();
        }

    private:
        state& s_;
    };

    state(stream_relay& owner, engine& downstream_engine, stream_ref request_stream, engine& upstream_engine,
          relay_observer& watcher)
        : self{owner},
          downstream{downstream_engine},
          upstream{upstream_engine},
          observer{watcher},
          request{request_stream},
          up{downstream, request, upstream, {}},
          down{upstream, {}, downstream, request}
    {
    }

    void end_request(const header_list* trailers)
    {
        if (request_ended) {
            return;
        }
        request_ended = true;
        if (trailers != nullptr) {
            upstream.submit_trailers(answer, *trailers);
        } else {
            upstream.end_stream(answer);
        }
    }

    void request_reset(const reset_info& info)
    {
        observer.on_downstream_reset(self, info);
        // A client that is gone, or asks for nothing more, cancels; codes it gives are passed on.
        const bool pass = info.source == reset_source::peer && info.code != error_code::no_error;
        upstream.reset(answer, pass ? info.code : error_code::cancel);
        up.drop();
        down.drop();
    }

    void answer_reset(const reset_info& info)
    {
        up.drop();
        if (answer_complete) {
            // Early answer: it is passed on whole, then the client is told that no more of its request is wanted.
            downstream.reset_when_sent(request, info.code);
            return;
        }
        down.open = false;
        if (observer.on_upstream_reset(self, info) == relay_observer::on_loss::pass_on) {
            downstream.reset(request, info.code == error_code::no_error ? error_code::internal_error : info.code);
        }
    }

    void closed()
    {
        if (upstream_closed && downstream_closed && !finished) {
            finished = true;
            observer.on_relay_closed(self);  // may destroy us
        }
    }

    stream_relay& self;
    engine& downstream;
    engine& upstream;
    relay_observer& observer;
    const stream_ref request;
    stream_ref answer;
    body_relay up;    // the request's body
    body_relay down;  // the answer's body
    request_side on_request{*this};
    answer_side on_answer{*this};
    bool request_ended = false;
    bool answer_started = false;
    bool answer_ended = false;     // passed on
    bool answer_complete = false;  // the upstream stream has ended well
    bool downstream_closed = false;
    bool upstream_closed = false;
    bool started = false;
    bool finished = false;
};

stream_relay::stream_relay(http2::engine& downstream, stream_ref request, http2::engine& upstream,
                           relay_observer& observer)
    : state_{std::make_unique<state>(*this, downstream, request, upstream, observer)}
{
}

stream_relay::~stream_relay()
{
    state& s = *state_;
    if (!s.started || s.finished) {
        return;
    }
    if (!s.downstream_closed) {
        s.downstream.set_handler(s.request, discard);
        s.downstream.reset(s.request, error_code::cancel);
    }
    if (!s.upstream_closed) {
        s.upstream.set_handler(s.answer, discard);
        s.upstream.reset(s.answer, error_code::cancel);
    }
}

void stream_relay::answer_begun()
{
    state_->answer_started = true;
}

void stream_relay::start(const header_list& headers, held_input held, bool urgent)
{
    state& s = *state_;
    s.started = true;
    const bool no_body = held.ended && held.data.empty() && !held.trailers;
    s.answer = s.upstream.submit_request(headers, s.on_answer, no_body, urgent);
    s.up.to_stream = s.answer;
    s.down.from_stream = s.answer;
    s.request_ended = no_body;
    s.downstream.set_handler(s.request, s.on_request);
    s.up.unowed = held.consumed;
    for (buffer_slice& data : held.data) {
        s.up.forward(std::move(data));
    }
    if (held.trailers) {
        s.end_request(&*held.trailers);
    } else if (held.ended) {
        s.end_request(nullptr);
    }
}

stream_handler& stream_relay::downstream_handler()
{
    return state_->on_request;
}

engine& stream_relay::downstream() const
{
    return state_->downstream;
}

engine& stream_relay::upstream() const
{
    return state_->upstream;
}

stream_ref stream_relay::downstream_stream() const
{
    return state_->request;
}

stream_ref stream_relay::upstream_stream() const
{
    return state_->answer;
}

std::size_t stream_relay::bytes_up() const
{
    return state_->up.passed;
}

std::size_t stream_relay::bytes_down() const
{
    return state_->down.passed;
}

bool stream_relay::response_started() const
{
    return state_->answer_started;
}

}  // namespace buildkit_lb::http2
