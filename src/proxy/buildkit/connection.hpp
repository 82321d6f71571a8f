#pragma once

#include <boost/asio/awaitable.hpp>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include "buildkit/build_recording.hpp"
#include "core/task_group.hpp"
#include "http2/connection.hpp"
#include "proxy/buildkit/call.hpp"
#include "proxy/buildkit/kept_content.hpp"
#include "proxy/buildkit/link.hpp"
#include "proxy/buildkit/service.hpp"
#include "proxy/buildkit/session.hpp"
#include "proxy/data_thread.hpp"
#include "proxy/downstream.hpp"

namespace buildkit_lb::proxy {

class build_attempts;

/// One connection of a `protocol: buildkit` listener: a client's calls and sessions, and the links to the workers they
/// need. Lives on one data thread.
class buildkit_connection final : public http2::engine_handler, public idle_watched {
public:
    buildkit_connection(buildkit_service& service, data_thread& on, downstream client);
    ~buildkit_connection() override;

    /// Serves the connection until it has ended and everything it started is gone.
    boost::asio::awaitable<void> run();

    void check_idle(time_point now) override;

    // ---- For calls and their flows ----

    /// Of the listener; by the name that the client dialled from its first call on.
    buildkit_service& service() { return *service_; }
    boost::asio::any_io_executor executor() { return executor_; }
    http2::engine& engine() { return connection_.engine(); }
    link_table& links() { return *links_; }
    /// For what a flow starts beside itself: ends with the connection.
    task_group& tasks() { return tasks_; }

    /// The process takes no new connections and waits for the end of those it has: calls that have no end of their own
    /// are to end.
    bool stopping() const { return thread_.draining(); }

    /// The client's address without its port; empty for a unix socket.
    const std::string& peer() const { return peer_; }
    /// The host name that a call with this `:authority` dialled, in lower case: what TLS told goes first.
    std::string dialled_host(std::string_view authority) const;
    /// The name by which the client's certificate was allowed; empty without TLS or certificate.
    const std::string& certificate() const { return certificate_; }
    /// Different for every connection of the pool.
    std::uint64_t number() const { return number_; }
    /// What this client has now, bounded by client_limits: builds with `Internal: true` that run, builds that wait for
    /// a worker, calls that wait for their build.
    std::uint32_t internal_builds = 0;
    std::uint32_t queued_builds = 0;
    std::uint32_t held_calls = 0;

    /// The link for calls that any worker can answer: to the same worker for the whole connection, as long as it lives.
    boost::asio::awaitable<result<link_table::link_ptr>> default_link();
    /// The same, if it can be had at once.
    link_table::link_ptr find_default_link() const;

    /// A build whose Solve is on this connection and that may start again elsewhere: for its other calls. nullptr:
    /// none.
    std::shared_ptr<build_attempts> find_attempts(const std::string& ref) const;
    void add_attempts(const std::string& ref, const std::shared_ptr<build_attempts>& build);
    void remove_attempts(const std::string& ref);
    /// Bounds what is kept of its builds to repeat them.
    buildkit::recording_budget& recordings() { return recordings_; }
    /// What it is about to read of its ended builds' records.
    kept_content& kept() { return kept_; }

    /// Bytes of requests that its calls hold: bounded by the memory budget of a connection.
    std::size_t held_bytes() const { return held_bytes_; }
    void note_held(std::size_t bytes) { held_bytes_ += bytes; }
    void note_released(std::size_t bytes) { held_bytes_ -= bytes; }

    /// `ended` has ended: it is dropped once nothing else refers to it.
    void forget(call& ended, const call::ending& how);

private:
    http2::stream_handler* on_request(http2::stream_ref stream, http2::header_list headers, bool end_stream) override;
    void on_settings(const http2::peer_settings&) override { spoke_ = true; }
    void on_error(const http2::connection_error& error) override;
    void on_refused(std::string_view kind) override { service_->metrics.protocol_error(kind); }

    void count_error(std::string_view prefix, const http2::connection_error& error);
    http2::stream_handler* open_session(http2::stream_ref stream, const http2::header_list& headers);
    bool may_open_session() const { return sessions_.size() < service_->per_client.sessions; }
    void begin(const std::shared_ptr<call>& c);
    void bind(buildkit_service& service);
    void leave_when_free(time_point now);

    buildkit_service* service_;
    data_thread& thread_;
    boost::asio::any_io_executor executor_;
    const std::string peer_;
    const std::string dialled_;
    const std::string certificate_;
    std::uint64_t number_ = 0;
    task_group tasks_;
    std::optional<link_table> links_;  // none before the first call
    std::shared_ptr<balancer::worker> default_worker_;
    std::unordered_map<const call*, std::shared_ptr<call>> calls_;
    std::unordered_map<std::string, std::shared_ptr<session>> sessions_;
    std::unordered_map<std::string, std::weak_ptr<build_attempts>> attempts_;
    buildkit::recording_budget recordings_;
    kept_content kept_{recordings_};
    http2::connection connection_;
    const time_point began_ = clock::now();
    bool spoke_ = false;  // its first SETTINGS have come
    std::size_t held_bytes_ = 0;
    time_point free_since_ = time_point::max();  // while the process stops: nothing needs the connection
    std::uint64_t counted_in_ = 0;
    std::uint64_t counted_out_ = 0;

    void count_bytes();
};

/// What a `protocol: buildkit` listener does with a connection.
boost::asio::awaitable<void> run_buildkit_connection(buildkit_service& service, data_thread& on, downstream client);

}  // namespace buildkit_lb::proxy
