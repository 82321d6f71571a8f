#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/task_group.hpp"
#include "http2/engine.hpp"
#include "http2/stream_relay.hpp"
#include "proxy/buildkit/link.hpp"
#include "proxy/buildkit/session_directory.hpp"
#include "proxy/buildkit/tunnel.hpp"

namespace buildkit_lb::proxy {

class attachment;

/// One BuildKit session of one client, offered to every worker that needs it. The balancer ends the tunnel of
/// Control/Session itself: inside it, it is the HTTP/2 client of the build client and the HTTP/2 server of each
/// worker, and relays the streams between them. So a session is tied to no worker.
///
/// Owned by its downstream connection and by callbacks under way; lives on that connection's thread.
class session final : public session_host,
                      public http2::engine_handler,
                      public http2::relay_observer,
                      public std::enable_shared_from_this<session> {
public:
    /// What a session needs of its connection, which outlives it.
    struct surroundings {
        boost::asio::any_io_executor executor;
        link_table& links;
        task_group& tasks;
        const http2::options& tunnel_options;
        std::function<void()> on_ended;   ///< the client has ended the session: no worker gets it any more
        std::function<void()> on_upload;  ///< a worker has asked the client for an upload
        /// The client has broken HTTP/2 in the tunnel, which ends the session.
        std::function<void(const http2::connection_error&)> on_error;
        std::function<void()> on_gone;  ///< nothing refers to it any more: it can be destroyed, but not from inside
    };

    /// `stream` is the live downstream stream of Control/Session, `headers` its request's.
    session(std::string uuid, http2::engine& downstream, http2::stream_ref stream, http2::header_list headers,
            surroundings around);
    ~session() override;

    /// Answers the client and begins to speak HTTP/2 in the tunnel; returns what handles the downstream stream.
    http2::stream_handler* start();

    void attach(const std::shared_ptr<balancer::worker>& where, std::function<void(attach_outcome)> done) override;

    const std::string& uuid() const { return uuid_; }
    const http2::header_list& headers() const { return headers_; }
    const surroundings& around() const { return around_; }

    /// A worker's stream, to be relayed to the client; returns what handles it. For attachment.
    http2::stream_handler* relay(std::shared_ptr<attachment> from, http2::engine& engine, http2::stream_ref stream,
                                 const http2::header_list& headers);
    /// The worker has ended its end of the tunnel, or is lost. For attachment.
    void detached(const balancer::worker& from);

private:
    struct relayed {
        std::shared_ptr<attachment> keep;  // the relay refers to its engine
        std::unique_ptr<http2::stream_relay> relay;
    };

    http2::stream_handler* on_request(http2::stream_ref, http2::header_list, bool) override { return nullptr; }
    void on_error(const http2::connection_error& error) override;
    void on_output_ready() override;
    void on_relay_closed(http2::stream_relay& relay) override { relays_.erase(&relay); }

    boost::asio::awaitable<void> open(std::shared_ptr<balancer::worker> where);
    void tell_opened(const balancer::worker& where, attach_outcome outcome);
    void schedule_end();
    void end();
    void check_gone();

    const std::string uuid_;
    const http2::header_list headers_;
    surroundings around_;
    http2::engine& downstream_;
    const http2::stream_ref stream_;
    std::unordered_map<http2::stream_relay*, relayed> relays_;
    std::unique_ptr<http2::engine> client_;  // our HTTP/2 client in the tunnel
    std::shared_ptr<tunnel> tunnel_;
    std::map<const balancer::worker*, std::shared_ptr<attachment>> attachments_;
    std::map<const balancer::worker*, std::vector<std::function<void(attach_outcome)>>> opening_;
    http2::header_list ending_{{"grpc-status", "0"}};  // what the client will be told at the end
    bool ended_ = false;
    bool downstream_closed_ = false;
};

}  // namespace buildkit_lb::proxy
