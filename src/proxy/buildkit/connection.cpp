#include "proxy/buildkit/connection.hpp"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <utility>

#include "buildkit/affinity_key.hpp"
#include "buildkit/grpc_status.hpp"
#include "buildkit/methods.hpp"
#include "core/log.hpp"
#include "proxy/buildkit/build_attempts.hpp"
#include "proxy/buildkit/flows.hpp"

namespace buildkit_lb::proxy {

namespace asio = boost::asio;
using buildkit::grpc_code;
using buildkit::method;

namespace {

// While the process stops: how long a connection that nothing needs is kept. Between the calls of one client are pauses
// of milliseconds; what it does after a longer one it can do elsewhere.
constexpr duration drain_patience = std::chrono::seconds{1};

using flow = asio::awaitable<void> (*)(call_ptr);

flow flow_for(method kind)
{
    if (buildkit::is_bridge(kind)) {
        return &flow_bridge;
    }
    if (buildkit::is_content(kind)) {
        return &flow_content;
    }
    switch (kind) {
        case method::control_solve: return &flow_solve;
        case method::control_status: return &flow_status;
        case method::list_workers: return &flow_list_workers;
        case method::info: return &flow_info;
        case method::disk_usage: return &flow_disk_usage;
        case method::prune: return &flow_prune;
        case method::listen_history: return &flow_listen_history;
        case method::update_history: return &flow_update_history;
        case method::trace_export: return &flow_trace_export;
        case method::health_check: return &flow_health_check;
        case method::health_watch: return &flow_health_watch;
        default: return &flow_any;
    }
}

/// Runs a flow and takes its cancellation back from the call before the task that owns it is gone.
asio::awaitable<void> run_flow(flow f, call_ptr c)
{
    try {
        co_await f(c);
    } catch (const boost::system::system_error&) {
        c->set_flow(nullptr);  // cancelled
        throw;
    } catch (...) {
        c->set_flow(nullptr);
        // A bug, which the task group logs: the client must not wait for an answer that nobody gives.
        c->fail(grpc_code::internal, "buildkit-lb: the call could not be handled");
        throw;
    }
    c->set_flow(nullptr);
}

}  // namespace

buildkit_connection::buildkit_connection(buildkit_service& service, data_thread& on, downstream client)
    : service_{&service},
      thread_{on},
      executor_{on.executor()},
      peer_{std::move(client.peer)},
      dialled_{std::move(client.dialled)},
      certificate_{std::move(client.certificate)},
      tasks_{executor_},
      connection_{tls::make_transport(std::move(client.socket)), http2::role::server, service.http2, *this}
{
    on.watch(*this);
}

buildkit_connection::~buildkit_connection() = default;

asio::awaitable<void> buildkit_connection::run()
{
    co_await connection_.run();
    // What follows has to run to its end even when the whole process is stopping; it is bounded in time.
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    // Sessions and calls that have ended with the connection have posted what they still have to do.
    co_await asio::post(executor_, asio::use_awaitable);
    count_bytes();
    tasks_.cancel();
    co_await tasks_.join();
    if (links_) {
        co_await links_->close();
    }
    sessions_.clear();
    calls_.clear();
}

void buildkit_connection::check_idle(time_point now)
{
    count_bytes();
    if (links_) {
        links_->check_idle(now);
    }
    if (!spoke_ && now - began_ >= service_->handshake_timeout && !connection_.closed()) {
        service_->metrics.protocol_error("handshake_timeout");
        log::warn("client refused", {{"listener", service_->listener},
                                     {"client", peer_},
                                     {"kind", "handshake_timeout"},
                                     {"error", "it did not begin to speak HTTP/2"}});
        connection_.close();
        return;
    }
    if (stopping()) {
        leave_when_free(now);
    }
    if (calls_.empty() && sessions_.empty() && now - connection_.idle_since() >= service_->idle_timeout) {
        connection_.close_gracefully();
    }
}

/// A running build opens new calls all the time, and a GOAWAY would send them to a process that does not know it. So
/// the client is told to go once it has no build, no session (which announces one) and no other call. A call that is
/// under way then was not processed, which the final GOAWAY says, and clients make it anew on another connection; a
/// notice first, as RFC 9113 recommends, would let a Solve in and keep its other calls out.
///
/// Until then new builds are taken as before: they may be targets of the invocation that keeps the connection.
void buildkit_connection::leave_when_free(time_point now)
{
    if (!calls_.empty() || !sessions_.empty()) {
        free_since_ = time_point::max();
        return;
    }
    free_since_ = std::min(free_since_, now);
    if (now - free_since_ >= std::min<duration>(service_->idle_timeout, drain_patience)) {
        connection_.close_gracefully();
    }
}

void buildkit_connection::count_bytes()
{
    service_->metrics.received(connection_.bytes_in() - std::exchange(counted_in_, connection_.bytes_in()));
    service_->metrics.sent(connection_.bytes_out() - std::exchange(counted_out_, connection_.bytes_out()));
}

std::string buildkit_connection::dialled_host(std::string_view authority) const
{
    return dialled_.empty() ? buildkit::dialled_host(authority) : dialled_;
}

void buildkit_connection::bind(buildkit_service& service)
{
    service_ = &service;
    recordings_.limit = service.http2.memory_budget;
    recordings_.all_used = &service.shared.recorded_bytes;
    number_ = service.shared.connections.fetch_add(1, std::memory_order_relaxed);
    links_.emplace(executor_, service.shared.pool, service.instruments, service.http2);
}

http2::stream_handler* buildkit_connection::on_request(http2::stream_ref stream, http2::header_list headers, bool)
{
    if (!links_) {
        bind(service_->for_host(dialled_host(headers.get(":authority"))));
    }
    if (buildkit::classify(headers.get(":path")).kind == method::control_session) {
        if (auto* handler = open_session(stream, headers)) {
            return handler;
        }
    }
    auto c = std::make_shared<call>(*this, stream, std::move(headers));
    calls_.emplace(c.get(), c);
    begin(c);
    return &c->handler();
}

void buildkit_connection::begin(const std::shared_ptr<call>& c)
{
    if (c->method().kind == method::control_session) {  // which could not be opened
        if (may_open_session()) {
            c->fail(grpc_code::already_exists, "the session has no uuid, or one that is in use");
        } else {
            c->fail(grpc_code::resource_exhausted, too_many_sessions(*service_).detail);
        }
        return;
    }
    const flow f = flow_for(c->method().kind);
    if (f == &flow_any) {
        // The common case needs no coroutine.
        if (auto ready = find_default_link()) {
            c->relay_to(std::move(ready));
            return;
        }
    }
    c->set_flow(&tasks_.spawn("call", run_flow(f, c)));
}

http2::stream_handler* buildkit_connection::open_session(http2::stream_ref stream, const http2::header_list& headers)
{
    std::string uuid{headers.get(buildkit::session_id_header)};
    if (uuid.empty() || !may_open_session()) {
        return nullptr;
    }
    session::surroundings around{executor_, *links_, tasks_, service_->http2, {}, {}, {}, {}};
    around.on_ended = [this, uuid] { service_->shared.sessions.remove(uuid); };
    around.on_upload = [this, uuid] { service_->shared.sessions.note_upload(uuid); };
    around.on_error = [this](const http2::connection_error& error) { count_error("session_", error); };
    around.on_gone = [this, uuid] {
        service_->instruments.rpc_ended("moby.buildkit.v1.Control/Session", buildkit::name(grpc_code::ok));
        if (const auto found = sessions_.find(uuid); found != sessions_.end()) {
            asio::post(executor_, [gone = std::move(found->second)] {});
            sessions_.erase(found);
        }
    };
    auto made = std::make_shared<session>(uuid, engine(), stream, headers, std::move(around));
    std::string shared_key{headers.get(buildkit::session_shared_key_header)};
    if (!service_->shared.sessions.add(uuid, executor_, made, std::move(shared_key))) {
        return nullptr;
    }
    sessions_.emplace(std::move(uuid), made);
    return made->start();
}

link_table::link_ptr buildkit_connection::find_default_link() const
{
    return default_worker_ ? links_->find(default_worker_) : nullptr;
}

asio::awaitable<result<link_table::link_ptr>> buildkit_connection::default_link()
{
    auto& pool = *service_->shared.pool.workers;
    balancer::pick_context context;
    context.kind = balancer::build_kind::internal;
    context.needs.any_platform = true;
    if (!service_->require.empty()) {
        context.needs.labels.push_back(service_->require);
    }
    std::shared_ptr<balancer::worker> candidate = default_worker_;
    for (;;) {
        if (!candidate) {
            const auto chosen = pool.pick_worker(context);
            if (!chosen) {
                co_return failure{errc::no_worker, failure_source::upstream, true, pool.explain_no_pick(context)};
            }
            candidate = chosen->worker();
        }
        result<link_table::link_ptr> found = co_await links_->get(candidate);
        if (found) {
            default_worker_ = candidate;
            co_return found;
        }
        if (found.error().code == errc::canceled) {
            co_return found;
        }
        context.excluded.push_back(std::move(candidate));
        candidate = nullptr;
    }
}

std::shared_ptr<build_attempts> buildkit_connection::find_attempts(const std::string& ref) const
{
    const auto found = attempts_.find(ref);
    return found != attempts_.end() ? found->second.lock() : nullptr;
}

void buildkit_connection::add_attempts(const std::string& ref, const std::shared_ptr<build_attempts>& build)
{
    attempts_[ref] = build;
}

void buildkit_connection::remove_attempts(const std::string& ref)
{
    attempts_.erase(ref);
}

void buildkit_connection::forget(call& ended, const call::ending& how)
{
    const auto method = buildkit::classify(ended.headers().get(":path"));
    service_->instruments.rpc_ended(method.label, buildkit::name(how.code));
    const auto found = calls_.find(&ended);
    if (found != calls_.end()) {
        asio::post(executor_, [gone = std::move(found->second)] {});
        calls_.erase(found);
    }
}

void buildkit_connection::on_error(const http2::connection_error& error)
{
    if (error.kind != "lost") {
        count_error("", error);
    }
}

void buildkit_connection::count_error(std::string_view prefix, const http2::connection_error& error)
{
    const std::string kind = std::string{prefix} + std::string{error.kind};
    service_->metrics.protocol_error(kind);
    log::warn(prefix.empty() ? "connection closed for a protocol error" : "session ended for a protocol error",
              {{"listener", service_->listener}, {"client", peer_}, {"kind", kind}, {"error", error.detail}});
}

asio::awaitable<void> run_buildkit_connection(buildkit_service& service, data_thread& on, downstream client)
{
    buildkit_connection connection{service, on, std::move(client)};
    co_await connection.run();
}

}  // namespace buildkit_lb::proxy
