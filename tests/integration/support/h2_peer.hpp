#pragma once

#include <boost/asio/io_context.hpp>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/task_group.hpp"
#include "http2/connection.hpp"
#include "support/grpc_stream.hpp"
#include "support/peer.hpp"

namespace buildkit_lb::test {

/// Runs scripted HTTP/2 peers on the test's own thread: they move while the test waits for something.
class peers_thread {
public:
    boost::asio::io_context& context() { return context_; }
    task_group& tasks() { return tasks_; }

    /// Lets the peers run until `condition` holds. False when it did not hold in time.
    template <class Condition>
    bool run_until(Condition condition, duration at_most = patience)
    {
        const auto deadline = clock::now() + at_most;
        while (!condition()) {
            if (clock::now() >= deadline) {
                return false;
            }
            context_.restart();
            context_.run_one_for(std::chrono::milliseconds{2});
        }
        return true;
    }
    /// Lets the peers run for a moment in which `condition` must not come true; true when it did not.
    template <class Condition>
    bool never(Condition condition, duration how_long = moment)
    {
        return !run_until(condition, how_long);
    }

private:
    boost::asio::io_context context_{1};
    task_group tasks_{context_.get_executor()};
};

/// The HTTP/2 connection inside a Control/Session stream, one end of it: the worker's (client role) or the build
/// client's (server role). Owned by the h2_peer of the outer stream.
class tunnel_end final : public http2::engine_handler {
public:
    tunnel_end(peers_thread& peers, grpc_stream& outer, http2::role as);
    tunnel_end(const tunnel_end&) = delete;
    tunnel_end& operator=(const tunnel_end&) = delete;

    /// Worker's end: calls the client.
    grpc_stream& call(std::string_view path);
    /// Client's end: what workers have called, in order.
    grpc_stream& served(std::size_t index) { return *streams_.at(index); }
    std::size_t count() const { return streams_.size(); }

    grpc_stream& outer() { return outer_; }
    /// The uuid that the outer request's headers name.
    std::string uuid() const;
    /// The other end has spoken HTTP/2.
    bool greeted() const { return greeted_; }
    bool failed() const { return failed_; }
    /// The code of the other end's GOAWAY.
    std::optional<http2::error_code> goaway() const { return goaway_; }

    /// Sends bytes into the tunnel that are not the engine's.
    void send_raw(std::string_view bytes);

    http2::stream_handler* on_request(http2::stream_ref stream, http2::header_list headers, bool end_stream) override;
    void on_settings(const http2::peer_settings&) override { greeted_ = true; }
    void on_goaway(const http2::goaway_info& info) override { goaway_ = info.code; }
    void on_error(const http2::connection_error& error) override { failed_ = failed_ || error.kind != "lost"; }
    void on_output_ready() override;

private:
    void flush();

    peers_thread& peers_;
    grpc_stream& outer_;
    std::deque<std::unique_ptr<grpc_stream>> streams_;
    bool greeted_ = false;
    bool failed_ = false;
    std::optional<http2::error_code> goaway_;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
    http2::engine inner_;
};

/// A scripted HTTP/2 peer on a socket, client or server. On the peers' thread; destroy it when ended().
class h2_peer final : public http2::engine_handler {
public:
    h2_peer(peers_thread& peers, boost::asio::generic::stream_protocol::socket socket, http2::role as);

    /// Client: sends a request with one message, and ends it.
    grpc_stream& call(std::string_view path, std::string_view message, const fields& more = {});
    /// Client: the same without a message and without an end.
    grpc_stream& open(std::string_view path, const fields& more = {});

    /// Streams in the order in which they began.
    std::deque<std::unique_ptr<grpc_stream>>& streams() { return streams_; }
    std::deque<std::unique_ptr<tunnel_end>>& tunnels() { return tunnels_; }
    tunnel_end& add_tunnel(grpc_stream& outer, http2::role as);

    /// Server: called with each new request, before its body.
    std::function<void(grpc_stream&)> on_new;

    void close_gracefully() { connection_.close_gracefully(); }
    void close() { connection_.close(); }
    /// Ends with RST.
    void cut();

    bool goaway_seen() const { return goaway_seen_; }
    bool ended() const { return ended_; }

    http2::stream_handler* on_request(http2::stream_ref stream, http2::header_list headers, bool end_stream) override;
    void on_goaway(const http2::goaway_info&) override { goaway_seen_ = true; }

private:
    boost::asio::awaitable<void> run();

    peers_thread& peers_;
    const int fd_;
    std::deque<std::unique_ptr<grpc_stream>> streams_;
    std::deque<std::unique_ptr<tunnel_end>> tunnels_;
    bool goaway_seen_ = false;
    bool ended_ = false;
    http2::connection connection_;
};

}  // namespace buildkit_lb::test
