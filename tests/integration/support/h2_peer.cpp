#include "support/h2_peer.hpp"

#include <boost/asio/post.hpp>
#include <sys/socket.h>

#include "buildkit/methods.hpp"
#include "buildkit/wire/control.pb.h"

namespace buildkit_lb::test {

namespace asio = boost::asio;

namespace {

// What BuildKit's own programs put into one message.
constexpr std::size_t tunnel_piece = 32 * 1024;

}  // namespace

tunnel_end::tunnel_end(peers_thread& peers, grpc_stream& outer, http2::role as)
    : peers_{peers}, outer_{outer}, inner_{as, {}, *this}
{
    outer_.on_message = [this](std::string_view bytes) {
        wire::control::BytesMessage message;
        if (message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
            inner_.receive(buffer_slice::copy_of(std::string_view{message.data()}));
        } else {
            failed_ = true;
        }
    };
    outer_.on_all_closed = [this] { inner_.connection_lost("the tunnel has ended"); };
    on_output_ready();
}

grpc_stream& tunnel_end::call(std::string_view path)
{
    grpc_stream& made = *streams_.emplace_back(std::make_unique<grpc_stream>(inner_));
    made.start(grpc_request(path));
    return made;
}

void tunnel_end::send_raw(std::string_view bytes)
{
    wire::control::BytesMessage message;
    message.set_data(std::string{bytes});
    outer_.send(message.SerializeAsString());
}

std::string tunnel_end::uuid() const
{
    return std::string{outer_.request.get(buildkit::session_id_header)};
}

http2::stream_handler* tunnel_end::on_request(http2::stream_ref stream, http2::header_list headers, bool)
{
    grpc_stream& made = *streams_.emplace_back(std::make_unique<grpc_stream>(inner_));
    made.set_ref(stream);
    made.request = std::move(headers);
    return &made;
}

void tunnel_end::on_output_ready()
{
    asio::post(peers_.context(), [this, weak = std::weak_ptr<bool>{alive_}] {
        if (weak.lock()) {
            flush();
        }
    });
}

void tunnel_end::flush()
{
    for (;;) {
        std::vector<buffer_slice> out;
        if (inner_.collect(out, tunnel_piece) == 0) {
            return;
        }
        wire::control::BytesMessage message;
        for (const auto& part : out) {
            message.mutable_data()->append(part.view());
        }
        outer_.send(message.SerializeAsString());
    }
}

h2_peer::h2_peer(peers_thread& peers, asio::generic::stream_protocol::socket socket, http2::role as)
    : peers_{peers}, fd_{socket.native_handle()}, connection_{std::move(socket), as, {}, *this}
{
    peers_.tasks().spawn("scripted peer", run());
}

asio::awaitable<void> h2_peer::run()
{
    co_await connection_.run();
    ended_ = true;
}

grpc_stream& h2_peer::open(std::string_view path, const fields& more)
{
    grpc_stream& made = *streams_.emplace_back(std::make_unique<grpc_stream>(connection_.engine()));
    made.start(grpc_request(path, more));
    made.request = grpc_request(path, more);
    return made;
}

grpc_stream& h2_peer::call(std::string_view path, std::string_view message, const fields& more)
{
    grpc_stream& made = open(path, more);
    made.send(message);
    made.end();
    return made;
}

tunnel_end& h2_peer::add_tunnel(grpc_stream& outer, http2::role as)
{
    return *tunnels_.emplace_back(std::make_unique<tunnel_end>(peers_, outer, as));
}

void h2_peer::cut()
{
    if (!ended_) {
        const linger now{1, 0};
        ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
        connection_.close();
    }
}

http2::stream_handler* h2_peer::on_request(http2::stream_ref stream, http2::header_list headers, bool)
{
    grpc_stream& made = *streams_.emplace_back(std::make_unique<grpc_stream>(connection_.engine()));
    made.set_ref(stream);
    made.request = std::move(headers);
    if (on_new) {
        on_new(made);
    }
    return &made;
}

}  // namespace buildkit_lb::test
