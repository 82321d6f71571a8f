#include "proxy/buildkit/link.hpp"

#include <chrono>
#include <fmt/format.h>
#include <utility>

#include "buildkit/grpc_framing.hpp"
#include "core/log.hpp"
#include "proxy/buildkit/upstream_call.hpp"

namespace buildkit_lb::proxy {

namespace asio = boost::asio;
using namespace std::chrono_literals;

namespace {

// Between the calls of one build, and between the builds of one bake, there are gaps; connecting again costs a round
// trip or two.
constexpr auto linger = 5s;

http2::header_list health_check()
{
    return {{":method", "POST"},
            {":scheme", "http"},
            {":path", "/grpc.health.v1.Health/Check"},
            {":authority", "localhost"},
            {"content-type", "application/grpc"},
            {"te", "trailers"}};
}

buffer_slice empty_message()
{
    return buffer_slice::copy_of(buildkit::framed({}));
}

// How long workers get to end what the client has left behind.
constexpr auto close_time = 5s;

}  // namespace

link::link(std::shared_ptr<balancer::worker> to, tls::socket socket, const http2::options& options,
           lost_handler on_lost, goaway_handler on_goaway, error_handler on_error)
    : worker_{std::move(to)},
      on_lost_{std::move(on_lost)},
      on_goaway_{std::move(on_goaway)},
      on_error_{std::move(on_error)},
      greeted_{socket.raw.get_executor()},
      connection_{tls::make_transport(std::move(socket)), http2::role::client, options, *this}
{
}

asio::awaitable<void> link::run()
{
    co_await connection_.run();
    ended_ = true;
    greeted_.set();
}

void link::on_settings(const http2::peer_settings&)
{
    spoke_ = true;
    greeted_.set();
}

void link::on_goaway(const http2::goaway_info& info)
{
    // A graceful one comes twice: a notice, then the final one.
    if (!closing_ && !std::exchange(goaway_told_, true)) {
        on_goaway_(info);
    }
}

void link::on_error(const http2::connection_error& error)
{
    if (error.kind != "lost") {
        on_error_(error.kind);
    }
    tell_lost(error);
}

void link::tunnel_failed(const http2::connection_error& error)
{
    on_error_("session_" + std::string{error.kind});
    if (!ended_ && !connection_.engine().failed()) {
        tell_lost(error);
        closing_ = true;
        connection_.terminate(error.code);
    }
}

void link::tell_lost(const http2::connection_error& error)
{
    if (!closing_ && engine().open_streams() != 0) {
        failure why;
        why.code = error.kind == "lost" ? errc::reset : errc::protocol;
        why.source = failure_source::upstream;
        why.detail = worker_->address().to_string() + ": the connection was lost" +
                     (error.detail.empty() ? "" : ": " + std::string{error.detail});
        on_lost_(why);
    }
}

link_table::link_table(asio::any_io_executor executor, const upstream_pool& pool, metrics::instruments& instruments,
                       const http2::options& options)
    : executor_{executor}, pool_{pool}, instruments_{instruments}, options_{options}, tasks_{executor}
{
}

link_table::link_ptr link_table::find(const std::shared_ptr<balancer::worker>& w) const
{
    const auto found = links_.find(w.get());
    return found != links_.end() && found->second.ready && found->second.ready->usable() ? found->second.ready
                                                                                         : nullptr;
}

asio::awaitable<result<link_table::link_ptr>> link_table::get(std::shared_ptr<balancer::worker> w)
{
    if (auto ready = find(w)) {
        co_return ready;
    }
    entry& e = links_[w.get()];
    one_shot<result<link_ptr>> opened{executor_};
    e.waiting.push_back(opened.setter());
    if (e.waiting.size() == 1) {
        e.ready = nullptr;  // an unusable one lives on with its own streams
        tasks_.spawn("connect to worker", open(w));
    }
    auto outcome = co_await opened.wait();
    co_return std::move(*outcome);
}

asio::awaitable<void> link_table::open(std::shared_ptr<balancer::worker> w)
{
    result<link_ptr> connected = failure{errc::canceled, failure_source::internal, false, "the connection was closed"};
    try {
        connected = co_await connect(w);
    } catch (const boost::system::system_error&) {
        // Cancelled: the waiters get the failure above.
    }
    entry& e = links_[w.get()];
    if (connected) {
        e.ready = *connected;
    }
    for (auto& tell : std::exchange(e.waiting, {})) {
        tell(connected);
    }
    if (!e.ready) {
        links_.erase(w.get());
    }
}

asio::awaitable<result<link_table::link_ptr>> link_table::connect(const std::shared_ptr<balancer::worker>& w)
{
    const auto deadline = clock::now() + pool_.connect_timeout.load();
    result<tls::socket> socket = co_await connect_worker(pool_, *w, instruments_);
    if (!socket) {
        co_return socket.error();
    }
    auto on_lost = [this, w = w.get()](const failure& why) {
        log::warn("worker was lost with calls on it",
                  {{"pool", pool_.workers->name()}, {"worker", w->name()}, {"error", why.detail}});
        pool_.workers->report_connect_failure(*w, why, clock::now(), balancer::traffic_fault::reset);
    };
    auto on_error = [this, w = w.get()](std::string_view kind) {
        log::warn("worker broke HTTP/2", {{"pool", pool_.workers->name()}, {"worker", w->name()}, {"kind", kind}});
        instruments_.worker_protocol_error(pool_.workers->name(), w->name(), kind);
    };
    auto made = std::make_shared<link>(
        w, std::move(*socket), options_, std::move(on_lost),
        [this, w = w.get()](const http2::goaway_info& info) { note_goaway(*w, info); }, std::move(on_error));
    tasks_.spawn("worker connection", run(made));
    co_await made->greeted_.wait(deadline);
    if (made->spoke_ && !made->ended_) {
        co_return made;
    }
    failure why;
    why.code = made->ended_ ? errc::closed : errc::timed_out;
    why.source = failure_source::upstream;
    why.retryable = true;
    why.detail = w->address().to_string() + (made->ended_ ? ": closed the connection before it spoke HTTP/2"
                                                          : ": accepted the connection and did not speak HTTP/2");
    made->closing_ = true;
    made->connection_.close();
    instruments_.upstream_connect_failed(pool_.workers->name(), w->name(), to_string(why.code));
    pool_.workers->report_connect_failure(*w, why, clock::now());
    co_return why;
}

void link_table::note_goaway(const balancer::worker& w, const http2::goaway_info& info)
{
    const auto& pool = pool_.workers->name();
    instruments_.upstream_goaway(pool, w.name());
    if (info.code == http2::error_code::no_error && pool_.workers->report_goaway(w)) {
        log::info("worker is going away: it gets no new builds until it is found up again",
                  {{"pool", pool}, {"worker", w.name()}, {"address", w.address().to_string()}});
    }
}

asio::awaitable<void> link_table::run(link_ptr l)
{
    co_await l->run();
    if (const auto found = links_.find(l->worker().get()); found != links_.end() && found->second.ready == l) {
        found->second.ready = nullptr;
        if (found->second.waiting.empty()) {
            links_.erase(found);
        }
    }
}

void link_table::check_idle(time_point now)
{
    for (auto& [w, e] : links_) {
        if (!e.ready) {
            continue;
        }
        link& l = *e.ready;
        if (l.engine().open_streams() + l.engine().pending_streams() != 0) {
            l.unused_since_ = time_point::max();
            check_alive(e, now);
        } else if (l.unused_since_ == time_point::max()) {
            l.unused_since_ = now;
        } else if (now - l.unused_since_ >= linger && !l.closing_) {
            l.closing_ = true;
            l.connection_.close_gracefully();
        }
    }
}

void link_table::check_alive(entry& e, time_point now)
{
    link& l = *e.ready;
    const duration limit = pool_.liveness.load();
    const bool busy = l.engine().open_streams() != 0 && !l.ended_ && !l.closing_;
    switch (e.alive.look(limit, l.connection_.bytes_in(), busy, now)) {
        case liveness::step::ask:
            e.asked = std::make_shared<upstream_call>(executor_, e.ready, health_check(), empty_message(), [] {});
            break;
        case liveness::step::give_up:
            e.asked = nullptr;
            l.connection_.give_up(fmt::format("silent for {} s", std::chrono::duration<double>(limit).count()));
            break;
        case liveness::step::nothing:
            if (e.asked && (!busy || e.asked->ended() != nullptr)) {
                e.asked = nullptr;
            } else if (e.asked) {
                e.asked->take();
            }
            break;
    }
}

asio::awaitable<void> link_table::close()
{
    for (auto& [w, e] : links_) {
        if (e.ready && !e.ready->closing_) {
            e.ready->closing_ = true;
            e.ready->connection_.close_gracefully();
        }
    }
    asio::steady_timer patience{executor_, close_time};
    patience.async_wait([this](const boost::system::error_code& error) {
        if (!error) {
            tasks_.cancel();
        }
    });
    co_await tasks_.join();
}

}  // namespace buildkit_lb::proxy
