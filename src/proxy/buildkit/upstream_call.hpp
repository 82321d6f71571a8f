#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "buildkit/pool_answers.hpp"
#include "http2/header_list.hpp"
#include "proxy/buildkit/link.hpp"

namespace buildkit_lb::proxy {

/// A gRPC call that the balancer itself makes on a link: one message to the worker, and any number back. Destroyed
/// before its end it is cancelled. Owned by who asks, used on the link's thread.
///
/// At most one message of the answer is kept; what follows it stays unread and keeps its share of the stream's window
/// until the message was taken. So a slow taker holds the worker back, and memory is bounded by one message (16 MiB)
/// and one window.
class upstream_call {
public:
    /// Sends the request: a framed message, shared with other calls. `on_news` is called when message() or ended() may
    /// have changed, from inside the engine: do no more there than to wake somebody.
    upstream_call(boost::asio::any_io_executor executor, link_table::link_ptr on, const http2::header_list& headers,
                  buffer_slice message, std::function<void()> on_news);
    upstream_call(const upstream_call&) = delete;
    upstream_call& operator=(const upstream_call&) = delete;
    ~upstream_call();

    /// Takes the next message of the answer, uncompressed; nullopt while there is none, and after the last.
    std::optional<std::string> take();
    /// There is a message to take.
    bool has_message() const;

    /// How the call ended; null while it goes on, and while there are messages to take.
    const buildkit::grpc_ending* ended() const;
    /// It ended because the connection to the worker was lost, or the worker left the request alone.
    bool lost() const;
    /// It ended because the worker reset it, and not because that had cancelled it.
    bool was_reset() const;

private:
    class stream;
    std::shared_ptr<stream> stream_;
};

/// The headers of a request that the balancer makes for a client, from those of the client's own: `path` in place of
/// its path (the same when empty), and nothing that speaks of the client's own body or of how long it waits.
http2::header_list own_request(const http2::header_list& of_client, std::string_view path = {});

}  // namespace buildkit_lb::proxy
