#pragma once

#include <boost/asio/cancellation_signal.hpp>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "buildkit/grpc_framing.hpp"
#include "buildkit/grpc_status.hpp"
#include "buildkit/methods.hpp"
#include "buildkit/pool_answers.hpp"
#include "core/event.hpp"
#include "http2/engine.hpp"
#include "http2/stream_relay.hpp"
#include "proxy/buildkit/link.hpp"

namespace buildkit_lb::proxy {

class buildkit_connection;

/// One gRPC call of a client, from its request's headers to the end of its stream. It is held until something decides
/// where it goes (its flow, see flows.hpp); then it is relayed to a worker, or answered here.
///
/// Owned by its connection, and by its flow while that runs; lives on the connection's thread.
class call final : public http2::stream_handler,
                   public http2::relay_observer,
                   public std::enable_shared_from_this<call> {
public:
    /// How a call ended, for metrics and the build's result.
    struct ending {
        buildkit::grpc_code code = buildkit::grpc_code::unknown;
        bool client_gone = false;  ///< it reset the call, or its connection ended
        std::string message;       ///< of an error
        /// What the end says of the worker. `nothing`: no worker's doing, or told of elsewhere (see link).
        enum class verdict : std::uint8_t { nothing, answered, unavailable, reset } worker = verdict::nothing;

        /// That of trailers with this code and these `grpc-status-details-bin`.
        static verdict verdict_of(buildkit::grpc_code code, std::string_view details);
    };

    call(buildkit_connection& on, http2::stream_ref stream, http2::header_list headers);
    ~call();

    buildkit_connection& connection() { return connection_; }
    const http2::header_list& headers() const { return headers_; }
    const buildkit::method_info& method() const { return method_; }
    http2::stream_ref stream() const { return stream_; }

    /// What handles the downstream stream now.
    http2::stream_handler& handler();

    // ---- While it is held ----

    /// The request's first message, uncompressed; what was received stays to be sent on, or to be read again. nullopt:
    /// the call has been answered with an error, because there is no message, or none that can be read.
    boost::asio::awaitable<std::optional<std::string>> first_message();

    /// Drops what was received and held of the request: it has been read, and is sent on by somebody else.
    void drop_request();

    /// Bytes received and held.
    std::size_t held_bytes() const { return held_bytes_; }

    // ---- Deciding ----

    /// Sends the call to a worker. The taps below are set before.
    void relay_to(std::shared_ptr<link> to);
    /// Begins the answer, if it was not begun, and sends a framed message of the balancer's own in it, while the call
    /// is held. What follows, by relay_to() or fail(), goes on with the same answer.
    void tell(std::string_view message, const http2::header_list& more = {});
    /// Begins the answer with these headers and `more`, if it was not begun.
    void begin_answer(const http2::header_list& more = {});
    /// Waits while much of what was told lies here unread by the client.
    boost::asio::awaitable<void> room_to_tell();
    /// Ends the answer, with an error or not, begun or not.
    void end(const buildkit::grpc_ending& how);
    /// The same with an error.
    void fail(buildkit::grpc_code code, const std::string& message);
    /// Answers with one message.
    void answer(std::string_view message);

    /// Called with every message of the answer, uncompressed, after it was passed on.
    std::function<void(std::string_view)> on_answer_message;
    /// Called when the call has ended, once, for whatever reason; before its stream is forgotten.
    std::function<void(const ending&)> on_ended;
    /// What to answer when the worker is lost: nothing set is UNAVAILABLE naming it.
    std::optional<buildkit::grpc_code> code_when_lost;
    /// The error goes out in the same round of the thread, before those of other calls.
    bool fails_first = false;

    // ---- Its flow ----

    /// Cancels the flow when the client goes away while the call is held.
    void set_flow(boost::asio::cancellation_signal* flow) { flow_ = flow; }

    // stream_handler: while the call is held, and after it was answered here.
    void on_headers(http2::stream_ref, http2::header_list, bool) override {}
    void on_data(http2::stream_ref stream, buffer_slice data) override;
    void on_trailers(http2::stream_ref, http2::header_list trailers) override;
    void on_end(http2::stream_ref) override;
    void on_taken(http2::stream_ref, std::size_t bytes) override;
    void on_reset(http2::stream_ref, const http2::reset_info&) override;
    void on_closed(http2::stream_ref) override;

    // relay_observer: while it is relayed.
    void on_response(http2::stream_relay&, http2::header_list& headers, bool end_stream) override;
    void on_response_data(http2::stream_relay&, const buffer_slice& data) override;
    void on_trailers(http2::stream_relay&, http2::header_list& trailers) override;
    on_loss on_upstream_reset(http2::stream_relay&, const http2::reset_info& info) override;
    void on_downstream_reset(http2::stream_relay&, const http2::reset_info&) override;
    void on_relay_closed(http2::stream_relay&) override;

private:
    enum class stage : std::uint8_t { held, relayed, answered };

    http2::engine& engine();
    void hold(std::size_t bytes);
    void release_held();
    void note_status(const http2::header_list& fields);
    void end_answer(const buildkit::grpc_ending& how);
    void drop_input();
    void answer_loss(const std::string& detail);
    void finish();

    buildkit_connection& connection_;
    const http2::stream_ref stream_;
    http2::header_list headers_;
    const buildkit::method_info method_;
    stage stage_ = stage::held;

    http2::held_input held_;
    std::size_t held_bytes_ = 0;
    std::optional<buildkit::message_reader> reader_;  // while first_message() is waited for
    std::optional<buildkit::grpc_message> first_;
    std::optional<std::string> unreadable_;
    std::size_t read_slices_ = 0;
    event progress_;
    boost::asio::cancellation_signal* flow_ = nullptr;

    std::shared_ptr<link> link_;
    std::unique_ptr<http2::stream_relay> relay_;
    std::optional<buildkit::message_reader> answer_reader_;
    bool response_started_ = false;

    ending ending_;
    bool finished_ = false;
};

}  // namespace buildkit_lb::proxy
