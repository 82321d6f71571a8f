#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "buildkit/grpc_framing.hpp"
#include "buildkit/grpc_status.hpp"
#include "http2/engine.hpp"

namespace buildkit_lb::test {

using field = std::pair<std::string, std::string>;
using fields = std::vector<field>;

/// One gRPC call as a scripted peer sees it, on either side: what came is kept, what goes is the test's to say. Owned
/// by its h2_peer or tunnel_end, lives as long as that; on the peers' thread.
class grpc_stream final : public http2::stream_handler {
public:
    explicit grpc_stream(http2::engine& on) : engine_{on} {}

    // ---- What came ----

    http2::header_list request;         ///< server side: the request's headers
    http2::header_list response;        ///< client side: the answer's headers
    http2::header_list trailers;        ///< of either side
    std::vector<std::string> messages;  ///< of the peer's body
    bool broken = false;                ///< the peer's body is no gRPC
    bool answered = false;              ///< client side: the answer's headers have come
    bool ended = false;                 ///< the peer has said everything
    bool closed = false;                ///< nothing more happens
    std::optional<http2::error_code> reset_by_peer;
    bool lost = false;  ///< ended by the loss of its connection

    std::string path() const { return std::string{request.get(":path")}; }
    /// The status it ended with; nullopt while it has none.
    std::optional<buildkit::grpc_code> status() const;
    std::string status_message() const;

    // ---- What goes ----

    /// Sends the request. Client side; h2_peer::call and tunnel_end::call do it.
    void start(const http2::header_list& headers);
    /// Sends the answer's headers. Server side; send() and finish() do it where it was not done.
    void respond();
    void send(std::string_view message);
    /// Sends bytes as they are, message or not.
    void send_raw(std::string_view bytes);
    /// Ends our direction.
    void end();
    /// Ends the call with trailers.
    void finish(buildkit::grpc_code code = buildkit::grpc_code::ok, std::string_view message = {},
                const fields& more = {});
    /// One message and OK.
    void answer(std::string_view message);
    void reset(http2::error_code code);

    // ---- For those who script ----

    std::function<void(std::string_view)> on_message;  ///< set: messages are not kept
    std::function<void()> on_peer_end;
    std::function<void()> on_all_closed;
    bool holds_credit = false;  ///< a reader that takes nothing more
    /// Takes what was held, and all that comes.
    void take_all();

    void set_ref(http2::stream_ref ref) { ref_ = ref; }
    http2::stream_ref ref() const { return ref_; }

    void on_headers(http2::stream_ref, http2::header_list headers, bool end_stream) override;
    void on_data(http2::stream_ref stream, buffer_slice data) override;
    void on_trailers(http2::stream_ref, http2::header_list list) override;
    void on_end(http2::stream_ref) override;
    void on_reset(http2::stream_ref, const http2::reset_info& info) override;
    void on_closed(http2::stream_ref) override;

private:
    http2::engine& engine_;
    http2::stream_ref ref_;
    buildkit::message_reader reader_{failure_source::downstream};
    bool responded_ = false;
};

/// The headers of a gRPC request.
http2::header_list grpc_request(std::string_view path, const fields& more = {});

}  // namespace buildkit_lb::test
