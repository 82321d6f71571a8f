#pragma once

#include <boost/asio/awaitable.hpp>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "balancer/worker.hpp"
#include "core/event.hpp"
#include "core/task_group.hpp"
#include "http2/connection.hpp"
#include "proxy/buildkit/liveness.hpp"
#include "proxy/upstream_connect.hpp"

namespace buildkit_lb::proxy {

class upstream_call;

/// One HTTP/2 connection to a worker, for the calls of one downstream connection. Made by link_table; lives on the
/// data thread of that connection.
class link final : public http2::engine_handler {
public:
    using lost_handler = std::function<void(const failure&)>;
    using goaway_handler = std::function<void(const http2::goaway_info&)>;
    using error_handler = std::function<void(std::string_view kind)>;

    /// `on_lost` is called when the connection ends with calls on it that nobody has ended: before they are told.
    /// `on_goaway` is called when the worker says GOAWAY, the first time; what runs goes on.
    /// `on_error` is called when the worker breaks HTTP/2, here or in a session's tunnel.
    link(std::shared_ptr<balancer::worker> to, tls::socket socket, const http2::options& options, lost_handler on_lost,
         goaway_handler on_goaway, error_handler on_error);

    const std::shared_ptr<balancer::worker>& worker() const { return worker_; }
    http2::engine& engine() { return connection_.engine(); }

    /// The worker has broken HTTP/2 in the tunnel of a session: the connection is given up, and the worker is lost for
    /// all that runs on it. Also from inside an event.
    void tunnel_failed(const http2::connection_error& error);

    /// New calls may be sent on it.
    bool usable() const { return !ended_ && connection_.engine().accepts_requests(); }

private:
    friend class link_table;

    boost::asio::awaitable<void> run();

    http2::stream_handler* on_request(http2::stream_ref, http2::header_list, bool) override { return nullptr; }
    void on_settings(const http2::peer_settings&) override;
    void on_goaway(const http2::goaway_info& info) override;
    void on_error(const http2::connection_error& error) override;
    void tell_lost(const http2::connection_error& error);

    std::shared_ptr<balancer::worker> worker_;
    lost_handler on_lost_;
    goaway_handler on_goaway_;
    error_handler on_error_;
    event greeted_;  // the worker's first SETTINGS have come, or the connection ended before
    mutable http2::connection connection_;
    bool spoke_ = false;
    bool ended_ = false;
    bool goaway_told_ = false;
    bool closing_ = false;  // by us
    time_point unused_since_ = time_point::max();
};

/// The links of one downstream connection, one a worker: opened on first use, closed a little while after the last
/// of their streams. All members are called on that connection's thread.
class link_table {
public:
    using link_ptr = std::shared_ptr<link>;

    link_table(boost::asio::any_io_executor executor, const upstream_pool& pool, metrics::instruments& instruments,
               const http2::options& options);

    /// The link to `w` if it can be used at once, else nullptr.
    link_ptr find(const std::shared_ptr<balancer::worker>& w) const;

    /// The link to `w`, connected if need be. The worker has sent its first SETTINGS: one that only accepts
    /// connections and hangs counts as failed.
    boost::asio::awaitable<result<link_ptr>> get(std::shared_ptr<balancer::worker> w);

    /// Closes links that had no stream for a while, and gives up those whose worker has calls and is silent for too
    /// long (upstream_pool::liveness). Call it every second or so.
    void check_idle(time_point now);

    /// Sends what is queued, closes every link and waits for them.
    boost::asio::awaitable<void> close();

    std::size_t size() const { return links_.size(); }

private:
    using waiter = std::function<void(result<link_ptr>)>;
    struct entry {
        link_ptr ready;
        std::vector<waiter> waiting;  // while it is being connected
        liveness alive;
        std::shared_ptr<upstream_call> asked;  // whether it lives
    };
    void check_alive(entry& e, time_point now);

    boost::asio::awaitable<void> open(std::shared_ptr<balancer::worker> w);
    boost::asio::awaitable<result<link_ptr>> connect(const std::shared_ptr<balancer::worker>& w);
    boost::asio::awaitable<void> run(link_ptr l);
    void note_goaway(const balancer::worker& w, const http2::goaway_info& info);

    boost::asio::any_io_executor executor_;
    const upstream_pool& pool_;
    metrics::instruments& instruments_;
    const http2::options& options_;
    std::map<const balancer::worker*, entry> links_;
    task_group tasks_;
};

}  // namespace buildkit_lb::proxy
