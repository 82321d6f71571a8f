#include "support/fake_buildkit.hpp"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <thread>
#include <utility>

#include "buildkit/methods.hpp"
#include "buildkit/wire/control.pb.h"
#include "buildkit/wire/gateway.pb.h"
#include "buildkit/wire/ops.pb.h"
#include "core/resolve.hpp"

namespace buildkit_lb::test {

namespace asio = boost::asio;
using asio::ip::tcp;

namespace {

asio::generic::stream_protocol::socket connect_to(peers_thread& peers, const endpoint& where)
{
    asio::generic::stream_protocol::socket socket{peers.context()};
    socket.connect(*numeric_address(where));
    return socket;
}

}  // namespace

fake_worker::fake_worker(peers_thread& peers, std::uint16_t port)
    : peers_{peers}, acceptor_{peers.context(), {asio::ip::make_address("127.0.0.1"), port}}
{
    address_ = tcp_at("127.0.0.1", acceptor_.local_endpoint().port());
    peers_.tasks().spawn("scripted worker", accept());
}

asio::awaitable<void> fake_worker::accept()
{
    for (;;) {
        auto [error, socket] = co_await acceptor_.async_accept(asio::as_tuple(asio::use_awaitable));
        if (error) {
            co_return;
        }
        if (hangs_) {
            unserved_.push_back(std::move(socket));
        } else {
            serve(std::move(socket));
        }
    }
}

void fake_worker::serve(tcp::socket connection)
{
    auto& made = *connections_.emplace_back(std::make_unique<h2_peer>(
        peers_, asio::generic::stream_protocol::socket{std::move(connection)}, http2::role::server));
    made.on_new = [this, &made](grpc_stream& stream) { begin(made, stream); };
}

void fake_worker::hang()
{
    hangs_ = true;
}

void fake_worker::resume()
{
    hangs_ = false;
    for (auto& connection : std::exchange(unserved_, {})) {
        serve(std::move(connection));
    }
}

void fake_worker::begin(h2_peer& on, grpc_stream& stream)
{
    if (stream.path() == session_path) {
        stream.respond();
        stream.on_peer_end = [this, &stream] {
            if (!keeps_sessions) {
                stream.finish();
            }
        };
        sessions_.push_back(&on.add_tunnel(stream, http2::role::client));
        return;
    }
    calls_.push_back(&stream);
    stream.on_peer_end = [this, &stream] {
        if (on_call) {
            on_call(stream);
        }
    };
}

grpc_stream* fake_worker::call(std::string_view path, std::size_t index) const
{
    for (auto* c : calls_) {
        if (c->path() == path && index-- == 0) {
            return c;
        }
    }
    return nullptr;
}

tunnel_end* fake_worker::session(std::string_view uuid, std::size_t index) const
{
    for (auto* s : sessions_) {
        if (s->uuid() == uuid && index-- == 0) {
            return s;
        }
    }
    return nullptr;
}

std::size_t fake_worker::connections() const
{
    return static_cast<std::size_t>(
        std::count_if(connections_.begin(), connections_.end(), [](const auto& c) { return !c->ended(); }));
}

void fake_worker::cut()
{
    for (auto& c : connections_) {
        c->cut();
    }
}

void fake_worker::go_away()
{
    for (auto& c : connections_) {
        c->close_gracefully();
    }
}

void fake_worker::refuse()
{
    acceptor_.close();
}

void fake_worker::close()
{
    refuse();
    for (auto& c : connections_) {
        c->close();
    }
}

fake_client::fake_client(peers_thread& peers, const endpoint& balancer)
    : peer_{peers, connect_to(peers, balancer), http2::role::client}
{
}

grpc_stream& fake_client::solve(const build& what)
{
    wire::control::SolveRequest request;
    request.set_ref(what.ref);
    request.set_session(what.session);
    request.set_internal(what.internal);
    auto& attrs = *request.mutable_frontendattrs();
    for (std::size_t i = 0; i < what.shared_sessions.size(); ++i) {
        attrs["local-sessionid:shared" + std::to_string(i)] = what.shared_sessions[i];
    }
    if (what.linked) {
        attrs["context:base"] = "input:base";
    }
    fields more;
    if (!what.trace.empty()) {
        more.emplace_back(buildkit::trace_parent_header, "00-" + what.trace + "-b7ad6b7169203331-01");
    }
    return peer_.call(solve_path, request.SerializeAsString(), more);
}

grpc_stream& fake_client::status(const std::string& ref)
{
    wire::control::StatusRequest request;
    request.set_ref(ref);
    return peer_.call(status_path, request.SerializeAsString());
}

grpc_stream& fake_client::bridge(std::string_view path, const std::string& ref, std::string_view message)
{
    return peer_.call(path, message, {{std::string{buildkit::build_id_header}, ref}});
}

tunnel_end& fake_client::session(const std::string& uuid, const fields& more)
{
    fields headers{{std::string{buildkit::session_id_header}, uuid}};
    headers.insert(headers.end(), more.begin(), more.end());
    return peer_.add_tunnel(peer_.open(session_path, headers), http2::role::server);
}

std::string bridge_solve_naming(const std::string& uuid)
{
    wire::ops::Op op;
    op.mutable_source()->set_identifier("local://context");
    (*op.mutable_source()->mutable_attrs())["local.session"] = uuid;
    wire::ops::Definition definition;
    definition.add_def(op.SerializeAsString());
    wire::gateway::SolveRequest request;
    request.set_frontend("dockerfile.v0");
    (*request.mutable_frontendinputs())["base"] = definition;
    return request.SerializeAsString();
}

std::string session_id(int number)
{
    const std::string digits = std::to_string(number);
    return std::string(25 - digits.size(), 's') + digits;
}

buildkit_stage::buildkit_stage(std::size_t worker_count, balancer_settings settings)
{
    for (std::size_t i = 0; i < worker_count; ++i) {
        settings.workers.push_back(workers.emplace_back(peers).address());
    }
    settings.protocol = config::protocol::buildkit;
    lb.emplace(std::move(settings));
}

buildkit_stage::~buildkit_stage()
{
    for (auto& c : clients) {
        c.connection().close();
    }
    stop_balancer();
    for (auto& w : workers) {
        w.close();
    }
    // What has not ended now would be used after it is gone: better to stop here than to report nonsense.
    if (!until([this] { return peers.tasks().size() == 0; })) {
        std::abort();
    }
}

fake_client& buildkit_stage::client()
{
    return clients.emplace_back(peers, lb->address());
}

bool buildkit_stage::nothing_left()
{
    auto& shared = lb->buildkit();
    const auto now = shared.placement.count();
    return now.active == 0 && now.held_calls == 0 && now.held_bytes == 0 && now.named_sessions == 0 &&
           shared.sessions.size() == 0 && shared.builds.size() == 0 && lb->leases() == 0;
}

void buildkit_stage::stop_balancer()
{
    std::thread stopping{[this] { lb->stop(); }};
    while (!lb->stopped()) {
        until([this] { return lb->stopped(); });
    }
    stopping.join();
}

}  // namespace buildkit_lb::test
