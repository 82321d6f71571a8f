#include "proxy/buildkit/call.hpp"

#include <boost/asio/post.hpp>
#include <utility>

#include "buildkit/inflate.hpp"
#include "proxy/buildkit/connection.hpp"

namespace buildkit_lb::proxy {

namespace asio = boost::asio;
using buildkit::grpc_code;

namespace {

// How much of an answer is queued for a client that reads slowly before more of it is fetched.
constexpr std::size_t max_queued = std::size_t{1} << 20;

http2::header_list error_fields(grpc_code code, const std::string& message, const std::string& details = {})
{
    http2::header_list fields;
    fields.add("grpc-status", buildkit::grpc_status_value(code));
    if (!message.empty()) {
        fields.add("grpc-message", buildkit::percent_encode(message));
    }
    if (!details.empty()) {
        fields.add("grpc-status-details-bin", details);
    }
    return fields;
}

http2::header_list response_fields()
{
    return {{":status", "200"}, {"content-type", "application/grpc"}};
}

/// Hands the uncompressed payload of each message in `chunk` to `use`. False when the bytes are no messages.
bool read_messages(buildkit::message_reader& reader, std::string_view chunk,
                   const std::function<void(std::string_view)>& use)
{
    while (!chunk.empty()) {
        auto message = reader.next(chunk);
        if (!message) {
            return false;
        }
        if (*message) {
            auto plain = buildkit::readable(std::move(**message), failure_source::upstream);
            if (!plain) {
                return false;
            }
            use(*plain);
        }
    }
    return true;
}

}  // namespace

call::call(buildkit_connection& on, http2::stream_ref stream, http2::header_list headers)
    : connection_{on},
      stream_{stream},
      headers_{std::move(headers)},
      method_{buildkit::classify(headers_.get(":path"))},
      progress_{on.executor()}
{
    connection_.service().shared.calls.fetch_add(1, std::memory_order_relaxed);
}

call::~call() = default;

void call::hold(std::size_t bytes)
{
    held_bytes_ += bytes;
    connection_.note_held(bytes);
}

void call::release_held()
{
    connection_.note_released(std::exchange(held_bytes_, 0));
}

http2::engine& call::engine()
{
    return connection_.engine();
}

asio::awaitable<std::optional<std::string>> call::first_message()
{
    const auto& service = connection_.service();
    const auto reason = [&](const failure& why) {
        return why.code == errc::too_large ? message_too_large(service).detail : why.detail;
    };
    reader_.emplace(failure_source::downstream, service.per_client.message_size);
    read_slices_ = 0;
    first_.reset();
    for (;;) {
        while (read_slices_ < held_.data.size() && !first_ && !unreadable_) {
            std::string_view chunk = held_.data[read_slices_++].view();
            while (!chunk.empty() && !first_) {
                auto message = reader_->next(chunk);
                if (!message) {
                    unreadable_ = reason(message.error());
                    break;
                }
                first_ = std::move(*message);
            }
        }
        if (first_ || unreadable_ || held_.ended) {
            break;
        }
        progress_.clear();
        co_await progress_.wait();
    }
    reader_.reset();
    if (!first_) {
        fail(unreadable_ ? grpc_code::resource_exhausted : grpc_code::internal,
             unreadable_.value_or("the request ended before its message"));
        co_return std::nullopt;
    }
    auto plain = buildkit::readable(std::move(*first_), failure_source::downstream, service.per_client.message_size);
    if (!plain) {
        const bool too_large = plain.error().code == errc::too_large;
        fail(too_large ? grpc_code::resource_exhausted : grpc_code::internal, reason(plain.error()));
        co_return std::nullopt;
    }
    co_return std::move(*plain);
}

void call::relay_to(std::shared_ptr<link> to)
{
    if (stage_ != stage::held) {
        return;
    }
    stage_ = stage::relayed;
    link_ = std::move(to);
    if (on_answer_message) {
        answer_reader_.emplace(failure_source::upstream);
    }
    relay_ = std::make_unique<http2::stream_relay>(engine(), stream_, link_->engine(), *this);
    if (response_started_) {
        relay_->answer_begun();
    }
    relay_->start(headers_, std::exchange(held_, {}));
    release_held();
}

http2::stream_handler& call::handler()
{
    if (relay_) {
        return relay_->downstream_handler();
    }
    return *this;
}

void call::begin_answer(const http2::header_list& more)
{
    if (stage_ == stage::held && !std::exchange(response_started_, true)) {
        http2::header_list fields = response_fields();
        for (const auto& field : more) {
            fields.add(field.name, field.value);
        }
        engine().submit_response(stream_, fields, false);
    }
}

void call::tell(std::string_view message, const http2::header_list& more)
{
    if (stage_ == stage::held) {
        begin_answer(more);
        engine().send_data(stream_, buffer_slice::copy_of(message));
    }
}

asio::awaitable<void> call::room_to_tell()
{
    while (engine().queued(stream_) >= max_queued) {
        progress_.clear();
        co_await progress_.wait();
    }
}

void call::fail(grpc_code code, const std::string& message)
{
    end({code, message, {}});
}

void call::end(const buildkit::grpc_ending& how)
{
    if (stage_ != stage::held) {
        return;
    }
    stage_ = stage::answered;
    end_answer(how);
    drop_input();
}

void call::end_answer(const buildkit::grpc_ending& how)
{
    ending_.code = how.code;
    ending_.message = how.message;
    const auto trailers = error_fields(how.code, how.message, how.details);
    if (response_started_) {
        engine().submit_trailers(stream_, trailers);
        return;
    }
    http2::header_list fields = response_fields();
    for (const auto& field : trailers) {
        fields.add(field.name, field.value);
    }
    engine().submit_response(stream_, fields, true);
}

void call::answer(std::string_view message)
{
    if (stage_ != stage::held) {
        return;
    }
    stage_ = stage::answered;
    ending_.code = grpc_code::ok;
    engine().submit_response(stream_, response_fields(), false);
    engine().send_data(stream_, buffer_slice::copy_of(buildkit::framed(message)));
    engine().submit_trailers(stream_, error_fields(grpc_code::ok, {}));
    drop_input();
}

void call::drop_input()
{
    if (!held_.ended) {
        engine().reset_when_sent(stream_, http2::error_code::no_error);
    }
    drop_request();
}

void call::drop_request()
{
    std::size_t owed = 0;
    for (const auto& slice : std::exchange(held_.data, {})) {
        owed += slice.size();
    }
    engine().consume(stream_, owed - std::exchange(held_.consumed, 0));
    release_held();
}

void call::on_data(http2::stream_ref stream, buffer_slice data)
{
    if (stage_ != stage::held) {
        engine().consume(stream, data.size());
        return;
    }
    hold(data.size());
    if (reader_) {
        // A message may be larger than the stream's window: while it is read, credit goes back as its bytes come, and
        // the connection's own bound is what keeps memory in check.
        if (connection_.held_bytes() > connection_.service().http2.memory_budget) {
            unreadable_ = "too many bytes of unfinished requests are held on this connection";
        } else {
            engine().consume(stream, data.size());
            held_.consumed += data.size();
        }
    }
    data.compact();
    held_.data.push_back(std::move(data));
    progress_.set();
}

void call::on_trailers(http2::stream_ref, http2::header_list trailers)
{
    held_.trailers = std::move(trailers);
}

void call::on_end(http2::stream_ref)
{
    held_.ended = true;
    progress_.set();
}

void call::on_taken(http2::stream_ref, std::size_t)
{
    progress_.set();
}

void call::on_reset(http2::stream_ref, const http2::reset_info&)
{
    ending_.client_gone = stage_ == stage::held;
}

void call::on_closed(http2::stream_ref)
{
    if (stage_ == stage::held) {
        stage_ = stage::answered;
        ending_.client_gone = true;
        ending_.code = grpc_code::cancelled;
        if (flow_ != nullptr) {
            flow_->emit(asio::cancellation_type::terminal);
        }
    }
    finish();
}

void call::on_response(http2::stream_relay&, http2::header_list& headers, bool end_stream)
{
    response_started_ = true;
    if (end_stream) {
        note_status(headers);
    }
}

void call::on_response_data(http2::stream_relay&, const buffer_slice& data)
{
    if (answer_reader_ && !read_messages(*answer_reader_, data.view(), on_answer_message)) {
        answer_reader_.reset();
    }
}

void call::on_trailers(http2::stream_relay&, http2::header_list& trailers)
{
    note_status(trailers);
}

call::ending::verdict call::ending::verdict_of(grpc_code code, std::string_view details)
{
    // The error of a build carries details, also where its code comes from afar (a registry, the client's session).
    // What a server, or something in front of it, says for itself has none.
    return code == grpc_code::unavailable && details.empty() ? verdict::unavailable : verdict::answered;
}

void call::note_status(const http2::header_list& fields)
{
    ending_.code = buildkit::parse_grpc_status(fields.get("grpc-status"));
    ending_.worker = ending::verdict_of(ending_.code, fields.get("grpc-status-details-bin"));
    if (ending_.code != grpc_code::ok) {
        ending_.message = buildkit::percent_decode(fields.get("grpc-message"));
    }
}

http2::relay_observer::on_loss call::on_upstream_reset(http2::stream_relay&, const http2::reset_info& info)
{
    if (info.source != http2::reset_source::connection && !info.unprocessed) {
        ending_.code = info.code == http2::error_code::cancel ? grpc_code::cancelled : grpc_code::unavailable;
        ending_.message = "the worker reset the call";
        if (info.source == http2::reset_source::peer && info.code != http2::error_code::cancel &&
            info.code != http2::error_code::no_error) {
            ending_.worker = ending::verdict::reset;
        }
        return on_loss::pass_on;
    }
    const std::string detail{info.detail};
    if (fails_first) {
        answer_loss(detail);
    } else {
        asio::post(connection_.executor(), [self = shared_from_this(), detail] { self->answer_loss(detail); });
    }
    return on_loss::handled;
}

void call::answer_loss(const std::string& detail)
{
    if (finished_) {
        return;
    }
    const auto code = code_when_lost.value_or(grpc_code::unavailable);
    buildkit::grpc_ending how{code, {}, {}};
    if (code != grpc_code::ok) {
        how.message =
            "buildkit-lb: worker " + link_->worker()->name() + " was lost" + (detail.empty() ? "" : ": " + detail);
    }
    end_answer(how);
    engine().reset_when_sent(stream_, http2::error_code::no_error);
}

void call::on_downstream_reset(http2::stream_relay&, const http2::reset_info&)
{
    ending_.client_gone = true;
    ending_.code = grpc_code::cancelled;
}

void call::on_relay_closed(http2::stream_relay&)
{
    finish();
}

void call::finish()
{
    if (std::exchange(finished_, true)) {
        return;
    }
    const auto self = shared_from_this();
    release_held();
    if (const auto tell = std::exchange(on_ended, nullptr)) {
        tell(ending_);
    }
    connection_.service().shared.calls.fetch_sub(1, std::memory_order_relaxed);
    connection_.forget(*this, ending_);
}

}  // namespace buildkit_lb::proxy
