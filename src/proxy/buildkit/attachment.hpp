#pragma once

#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>

#include "http2/engine.hpp"
#include "proxy/buildkit/link.hpp"
#include "proxy/buildkit/tunnel.hpp"

namespace buildkit_lb::proxy {

class session;

/// A session on one worker: Control/Session opened there as the client would, and our HTTP/2 server inside it, whose
/// streams go to the client through the session. Owned by its session; lives on its thread.
class attachment final : public http2::engine_handler, public std::enable_shared_from_this<attachment> {
public:
    attachment(session& of, std::shared_ptr<link> to);
    ~attachment();

    /// Opens Control/Session. `ready` is called once: true when the worker has spoken in the tunnel, so it has the
    /// session; false when the stream ended before.
    void start(std::function<void(bool)> ready);

    /// The client has ended the session: half-closes, so that the worker ends its side.
    void end();

    /// The session is about to be destroyed: nothing of it is called any more.
    void detach() { session_ = nullptr; }

    const std::shared_ptr<balancer::worker>& worker() const { return link_->worker(); }

private:
    http2::stream_handler* on_request(http2::stream_ref stream, http2::header_list headers, bool end_stream) override;
    void on_error(const http2::connection_error&) override;
    void on_output_ready() override;

    void tell_ready(bool yes);
    void closed();
    void give_up();

    session* session_;
    std::shared_ptr<link> link_;
    std::unique_ptr<http2::engine> server_;  // our HTTP/2 server in the tunnel
    std::shared_ptr<tunnel> tunnel_;
    std::function<void(bool)> ready_;
    boost::asio::steady_timer patience_;
};

}  // namespace buildkit_lb::proxy
