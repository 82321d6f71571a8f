#include "support/http2_script.hpp"

#include <array>

#include "support/http2_frames.hpp"
#include "support/watched.hpp"

namespace buildkit_lb::fuzz {
namespace {

enum class command : std::uint8_t {
    answer,
    data,
    trailers,
    end,
    reset,
    reset_when_sent,
    consume,
    collect,
    goaway,
    request,
    informational,
    lost,
};
constexpr std::size_t commands = 12;

http2::error_code code_of(std::uint8_t choice)
{
    return static_cast<http2::error_code>(choice % 14U);
}

void run_on_stream(command c, watched_engine& peer, fuzz_input& script)
{
    watched_stream& s = peer.stream(script.byte());
    http2::engine& e = peer.engine;
    const bool serves = e.as() == http2::role::server;
    switch (c) {
        case command::answer: {
            const bool end = (script.byte() & 1U) != 0;
            if (serves) {
                e.submit_response(s.ref, {{":status", "200"}, {"content-type", "application/grpc"}}, end);
            }
            break;
        }
        case command::data: {
            const std::string bytes(telling_size(script.byte()), 'b');
            s.sent += bytes.size();
            e.send_data(s.ref, buffer_slice::copy_of(bytes));
            break;
        }
        case command::trailers: e.submit_trailers(s.ref, {{"grpc-status", "0"}, {"grpc-message", ""}}); break;
        case command::end: e.end_stream(s.ref); break;
        case command::reset: e.reset(s.ref, code_of(script.byte())); break;
        case command::reset_when_sent: e.reset_when_sent(s.ref, http2::error_code::no_error); break;
        case command::consume: peer.consume(s); break;
        case command::informational:
            if (serves) {
                e.submit_informational(s.ref, {{":status", "103"}});
            }
            break;
        default: break;
    }
}

void run(command c, watched_engine& peer, fuzz_input& script)
{
    switch (c) {
        case command::collect: {
            const std::size_t most = telling_size(script.byte()) + 1;
            while (peer.collect(most)) {
            }
            break;
        }
        case command::goaway:
            switch (script.below(3)) {
                case 0: peer.engine.shutdown_notice(); break;
                case 1: peer.engine.goaway(http2::error_code::no_error, "going"); break;
                default: peer.engine.terminate(http2::error_code::enhance_your_calm); break;
            }
            break;
        case command::request: {
            const std::uint8_t flags = script.byte();
            if (peer.engine.as() == http2::role::client) {
                peer.request((flags & 1U) != 0, (flags & 2U) != 0);
            }
            break;
        }
        case command::lost: peer.lose(); break;
        default:
            if (peer.has_streams()) {
                run_on_stream(c, peer, script);
            }
            break;
    }
}

}  // namespace

std::size_t piece_size(unsigned char choice)
{
    constexpr std::array<std::size_t, 8> sizes{1U << 20U, 1, 2, 5, 9, 10, 100, 16393};
    return sizes[choice % sizes.size()];
}

void run_http2_script(http2::role as, std::string_view input)
{
    fuzz_input script{input};
    const std::uint8_t how = script.byte();
    watched_engine peer{as, piece_size(how)};
    frame_writer frames{as == http2::role::server ? http2::role::client : http2::role::server};
    if ((how & 0x80U) == 0) {
        peer.receive(frames.beginning());
    }
    while (!script.empty()) {
        const std::size_t op = script.below(frame_ops + commands);
        if (op < frame_ops) {
            peer.receive(frames.write(static_cast<frame_op>(op), script));
        } else {
            run(static_cast<command>(op - frame_ops), peer, script);
        }
    }
    peer.finish();
}

}  // namespace buildkit_lb::fuzz
