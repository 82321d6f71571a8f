#include "proxy/buildkit/session.hpp"

#include <boost/asio/post.hpp>
#include <utility>

#include "buildkit/grpc_status.hpp"
#include "core/log.hpp"
#include "proxy/buildkit/attachment.hpp"

namespace buildkit_lb::proxy {

namespace asio = boost::asio;

namespace {

// The client's health is checked through the tunnel, and a check that waits behind file transfers kills the build.
constexpr std::string_view health_check_path = "/grpc.health.v1.Health/Check";

// What a client reads from a pipe: a context on stdin.
constexpr std::string_view upload_service = "/moby.upload.v1.Upload/";

}  // namespace

session::session(std::string uuid, http2::engine& downstream, http2::stream_ref stream, http2::header_list headers,
                 surroundings around)
    : uuid_{std::move(uuid)},
      headers_{std::move(headers)},
      around_{std::move(around)},
      downstream_{downstream},
      stream_{stream},
      client_{std::make_unique<http2::engine>(http2::role::client, around_.tunnel_options, *this)}
{
}

session::~session()
{
    relays_.clear();  // they refer to the engines
    if (tunnel_) {
        tunnel_->detach();
    }
    for (auto& [w, a] : attachments_) {
        a->detach();
    }
}

http2::stream_handler* session::start()
{
    tunnel::events on;
    on.on_end = [this] { schedule_end(); };
    on.on_closed = [this] {
        downstream_closed_ = true;
        schedule_end();
    };
    tunnel_ = std::make_shared<tunnel>(around_.executor, downstream_, *client_, std::move(on));
    tunnel_->set_stream(stream_);
    downstream_.submit_response(stream_, {{":status", "200"}, {"content-type", "application/grpc"}}, false);
    tunnel_->schedule_flush();
    return tunnel_.get();
}

void session::on_output_ready()
{
    if (tunnel_) {
        tunnel_->schedule_flush();
    }
}

void session::attach(const std::shared_ptr<balancer::worker>& where, std::function<void(attach_outcome)> done)
{
    if (ended_) {
        done(attach_outcome::absent);
        return;
    }
    const auto opening = opening_.find(where.get());
    if (opening != opening_.end()) {
        opening->second.push_back(std::move(done));
    } else if (attachments_.contains(where.get())) {
        done(attach_outcome::attached);
    } else {
        opening_[where.get()].push_back(std::move(done));
        around_.tasks.spawn("attach session", open(where));
    }
}

asio::awaitable<void> session::open(std::shared_ptr<balancer::worker> where)
{
    const auto self = shared_from_this();
    result<link_table::link_ptr> found = co_await around_.links.get(where);
    if (!found || ended_) {
        tell_opened(*where, ended_ ? attach_outcome::absent : attach_outcome::unreachable);
        co_return;
    }
    auto made = std::make_shared<attachment>(*this, *found);
    attachments_[where.get()] = made;
    made->start([this, where](bool attached) {
        tell_opened(*where, attached ? attach_outcome::attached : attach_outcome::unreachable);
    });
}

void session::tell_opened(const balancer::worker& where, attach_outcome outcome)
{
    const auto found = opening_.find(&where);
    if (found == opening_.end()) {
        return;
    }
    const auto waiting = std::move(found->second);
    opening_.erase(found);
    for (const auto& done : waiting) {
        done(outcome);
    }
}

http2::stream_handler* session::relay(std::shared_ptr<attachment> from, http2::engine& engine, http2::stream_ref stream,
                                      const http2::header_list& headers)
{
    const bool urgent = headers.get(":path") == health_check_path;
    if (headers.get(":path").starts_with(upload_service)) {
        around_.on_upload();
    }
    relayed r;
    r.keep = std::move(from);
    r.relay = std::make_unique<http2::stream_relay>(engine, stream, *client_, *this);
    http2::stream_relay& relay = *r.relay;
    relays_.emplace(&relay, std::move(r));
    relay.start(headers, {}, urgent);
    return &relay.downstream_handler();
}

void session::detached(const balancer::worker& from)
{
    tell_opened(from, attach_outcome::unreachable);
    // Its engine may be at work further up the stack.
    asio::post(around_.executor, [gone = std::move(attachments_[&from])] {});
    attachments_.erase(&from);
    check_gone();
}

void session::check_gone()
{
    // A worker still has its end of the tunnel to end, and the tunnel's bytes come to objects of ours.
    if (ended_ && downstream_closed_ && attachments_.empty()) {
        around_.on_gone();
    }
}

void session::on_error(const http2::connection_error& error)
{
    around_.on_error(error);
    const auto code = error.code == http2::error_code::enhance_your_calm ? buildkit::grpc_code::resource_exhausted
                                                                         : buildkit::grpc_code::internal;
    ending_ = {{"grpc-status", std::to_string(static_cast<int>(code))},
               {"grpc-message", "buildkit-lb: HTTP/2 in the session was broken: " + std::string{error.kind}}};
    schedule_end();
}

void session::schedule_end()
{
    // What brings the end comes from inside an engine's event, and ending takes calls that are not allowed there.
    asio::post(around_.executor, [weak = weak_from_this()] {
        if (const auto self = weak.lock()) {
            self->end();
        }
    });
}

void session::end()
{
    if (std::exchange(ended_, true)) {
        check_gone();
        return;
    }
    around_.on_ended();
    log::debug("session ended", {{"session", uuid_}, {"workers", attachments_.size()}});
    if (client_->failed()) {
        tunnel_->flush();  // its GOAWAY
    }
    // At once: the client waits for this, and would for ever with a session that several builds share.
    downstream_.submit_trailers(stream_, ending_);
    downstream_.reset_when_sent(stream_, http2::error_code::no_error);  // where the client did not end its side
    client_->connection_lost("the client ended the session");
    while (!opening_.empty()) {
        const auto waiting = std::move(opening_.begin()->second);
        opening_.erase(opening_.begin());
        for (const auto& done : waiting) {
            done(attach_outcome::absent);
        }
    }
    const auto attached = attachments_;
    for (const auto& [w, a] : attached) {
        a->end();
    }
    check_gone();
}

}  // namespace buildkit_lb::proxy
