#include <string>
#include <vector>

#include "proxy/buildkit/tunnel_framing.hpp"
#include "support/http2_frames.hpp"
#include "support/http2_script.hpp"
#include "support/require.hpp"
#include "support/targets.hpp"
#include "support/watched.hpp"

namespace buildkit_lb::fuzz {
namespace {

struct unwrapped {
    bool understood = true;
    std::string bytes;
};

/// What the tunnel's reader makes of messages that come in pieces.
unwrapped unwrap(std::string_view messages, std::size_t piece)
{
    unwrapped result;
    proxy::tunnel_reader reader;
    const buffer_slice whole = buffer_slice::copy_of(messages);
    for (std::size_t at = 0; at < whole.size() && result.understood; at += piece) {
        std::vector<buffer_slice> out;
        result.understood = reader.read(whole.subslice(at, std::min(piece, whole.size() - at)), out);
        for (const buffer_slice& part : out) {
            result.bytes += part.view();
        }
    }
    return result;
}

std::string wrap(std::string_view bytes)
{
    return bytes.empty() ? std::string{} : std::string{proxy::tunnel_message_head(bytes.size()).view()}.append(bytes);
}

}  // namespace

void tunnel(std::string_view input)
{
    fuzz_input script{input};
    const std::uint8_t how = script.byte();
    const std::size_t piece = piece_size(how);
    if ((how & 0x80U) != 0) {
        // Messages as the peer makes them: how they are cut makes no difference.
        const std::string_view messages = script.rest();
        const unwrapped whole = unwrap(messages, messages.size() + 1);
        const unwrapped cut = unwrap(messages, piece);
        require(whole.understood == cut.understood && whole.bytes == cut.bytes, "pieces read like the whole");
        const unwrapped again = unwrap(wrap(messages), piece);
        require(again.understood && again.bytes == messages, "what is wrapped is unwrapped");
        return;
    }
    // HTTP/2 in well-formed messages: towards the client we are an HTTP/2 client, towards the worker a server.
    const http2::role as = (how & 0x40U) != 0 ? http2::role::client : http2::role::server;
    const http2::role other = as == http2::role::client ? http2::role::server : http2::role::client;
    watched_engine inner{as, 1U << 20U};
    frame_writer frames{other};
    proxy::tunnel_reader reader;
    const auto deliver = [&](std::string_view bytes) {
        in_pieces(wrap(bytes), piece, [&](buffer_slice part) {
            std::vector<buffer_slice> out;
            require(reader.read(std::move(part), out), "well-formed messages are understood");
            for (const buffer_slice& inside : out) {
                inner.receive(inside.view());
            }
        });
    };
    deliver(frames.beginning());
    while (!script.empty()) {
        const std::size_t op = script.below(frame_ops + 3);
        if (op < frame_ops) {
            deliver(frames.write(static_cast<frame_op>(op), script));
        } else if (op == frame_ops && as == http2::role::client) {
            inner.request(false, (script.byte() & 1U) != 0);
        } else if (op == frame_ops + 1 && inner.has_streams()) {
            inner.consume(inner.stream(script.byte()));
        } else {
            inner.collect(proxy::max_tunnel_message - 1024);
        }
    }
}

}  // namespace buildkit_lb::fuzz
