#include "proxy/buildkit/attachment.hpp"

#include <boost/asio/post.hpp>
#include <chrono>
#include <utility>

#include "core/log.hpp"
#include "proxy/buildkit/session.hpp"

namespace buildkit_lb::proxy {

using namespace std::chrono_literals;

namespace {

// How long a worker gets to end its side of a session that its client has ended.
constexpr auto end_time = 10s;

}  // namespace

attachment::attachment(session& of, std::shared_ptr<link> to)
    : session_{&of},
      link_{std::move(to)},
      server_{std::make_unique<http2::engine>(http2::role::server, of.around().tunnel_options, *this)},
      patience_{of.around().executor}
{
}

attachment::~attachment()
{
    if (tunnel_) {
        tunnel_->detach();
    }
}

void attachment::start(std::function<void(bool)> ready)
{
    ready_ = std::move(ready);
    tunnel::events on;
    on.on_first_bytes = [this] { tell_ready(true); };
    on.on_end = [this] {
        tell_ready(false);
        // Ours is not to be left open: the worker has ended its side, or what it sends is no tunnel.
        boost::asio::post(patience_.get_executor(), [self = shared_from_this()] { self->give_up(); });
    };
    on.on_closed = [this] { closed(); };
    tunnel_ = std::make_shared<tunnel>(session_->around().executor, link_->engine(), *server_, std::move(on));
    tunnel_->set_stream(link_->engine().submit_request(session_->headers(), *tunnel_, false));
    tunnel_->schedule_flush();
}

void attachment::on_output_ready()
{
    if (tunnel_) {
        tunnel_->schedule_flush();
    }
}

void attachment::tell_ready(bool yes)
{
    if (const auto tell = std::exchange(ready_, nullptr)) {
        tell(yes);
    }
}

http2::stream_handler* attachment::on_request(http2::stream_ref stream, http2::header_list headers, bool)
{
    if (session_ == nullptr) {
        return nullptr;
    }
    return session_->relay(shared_from_this(), *server_, stream, headers);
}

void attachment::on_error(const http2::connection_error& error)
{
    log::warn("session tunnel failed", {{"worker", worker()->name()}, {"error", error.detail}});
    link_->tunnel_failed(error);
    boost::asio::post(patience_.get_executor(), [self = shared_from_this()] { self->give_up(); });
}

void attachment::end()
{
    server_->connection_lost("the client ended the session");
    if (tunnel_) {
        tunnel_->flush();
        link_->engine().end_stream(tunnel_->stream());
    }
    patience_.expires_after(end_time);
    patience_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
        const auto self = weak.lock();
        if (!error && self) {
            self->give_up();
        }
    });
}

void attachment::give_up()
{
    if (tunnel_ && tunnel_->stream()) {
        server_->connection_lost("the tunnel is of no use any more");
        link_->engine().reset(tunnel_->stream(), http2::error_code::cancel);
    }
}

void attachment::closed()
{
    tell_ready(false);
    patience_.cancel();
    server_->connection_lost("the worker is gone");
    if (session_ != nullptr) {
        session_->detached(*worker());
    }
}

}  // namespace buildkit_lb::proxy
