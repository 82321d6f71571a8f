#include "support/grpc_stream.hpp"

namespace buildkit_lb::test {

std::optional<buildkit::grpc_code> grpc_stream::status() const
{
    auto value = trailers.find("grpc-status");
    if (!value) {
        value = response.find("grpc-status");
    }
    if (!value) {
        return std::nullopt;
    }
    return buildkit::parse_grpc_status(*value);
}

std::string grpc_stream::status_message() const
{
    const auto value = trailers.find("grpc-message");
    return buildkit::percent_decode(value ? *value : response.get("grpc-message"));
}

void grpc_stream::start(const http2::header_list& headers)
{
    responded_ = true;  // a client has nothing to respond
    ref_ = engine_.submit_request(headers, *this, false);
}

void grpc_stream::respond()
{
    if (!std::exchange(responded_, true)) {
        engine_.submit_response(ref_, {{":status", "200"}, {"content-type", "application/grpc"}}, false);
    }
}

void grpc_stream::send(std::string_view message)
{
    send_raw(buildkit::framed(message));
}

void grpc_stream::send_raw(std::string_view bytes)
{
    respond();
    engine_.send_data(ref_, buffer_slice::copy_of(bytes));
}

void grpc_stream::end()
{
    engine_.end_stream(ref_);
}

void grpc_stream::finish(buildkit::grpc_code code, std::string_view message, const fields& more)
{
    respond();
    http2::header_list list;
    list.add("grpc-status", buildkit::grpc_status_value(code));
    if (!message.empty()) {
        list.add("grpc-message", buildkit::percent_encode(message));
    }
    for (const auto& [name, value] : more) {
        list.add(name, value);
    }
    engine_.submit_trailers(ref_, list);
    if (!ended) {
        // As gRPC's servers do: the rest of the request is not wanted.
        engine_.reset_when_sent(ref_, http2::error_code::no_error);
    }
}

void grpc_stream::answer(std::string_view message)
{
    send(message);
    finish();
}

void grpc_stream::reset(http2::error_code code)
{
    engine_.reset(ref_, code);
}

void grpc_stream::take_all()
{
    holds_credit = false;
    engine_.consume(ref_, engine_.unconsumed(ref_));
}

void grpc_stream::on_headers(http2::stream_ref, http2::header_list headers, bool)
{
    answered = true;
    response = std::move(headers);
}

void grpc_stream::on_data(http2::stream_ref stream, buffer_slice data)
{
    if (!holds_credit) {
        engine_.consume(stream, data.size());
    }
    std::string_view chunk = data.view();
    while (!chunk.empty() && !broken) {
        auto message = reader_.next(chunk);
        if (!message) {
            broken = true;
        } else if (*message && on_message) {
            on_message((*message)->payload);
        } else if (*message) {
            messages.push_back(std::move((*message)->payload));
        }
    }
}

void grpc_stream::on_trailers(http2::stream_ref, http2::header_list list)
{
    trailers = std::move(list);
}

void grpc_stream::on_end(http2::stream_ref)
{
    ended = true;
    if (on_peer_end) {
        on_peer_end();
    }
}

void grpc_stream::on_reset(http2::stream_ref, const http2::reset_info& info)
{
    if (info.source == http2::reset_source::peer) {
        reset_by_peer = info.code;
    } else {
        lost = true;
    }
}

void grpc_stream::on_closed(http2::stream_ref)
{
    closed = true;
    if (on_all_closed) {
        on_all_closed();
    }
}

http2::header_list grpc_request(std::string_view path, const fields& more)
{
    http2::header_list headers{{":method", "POST"},
                               {":scheme", "http"},
                               {":path", path},
                               {":authority", "builds.example.test"},
                               {"content-type", "application/grpc"},
                               {"te", "trailers"}};
    for (const auto& [name, value] : more) {
        headers.add(name, value);
    }
    return headers;
}

}  // namespace buildkit_lb::test
