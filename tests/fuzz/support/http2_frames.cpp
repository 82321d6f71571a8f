#include "support/http2_frames.hpp"

#include <array>

namespace buildkit_lb::fuzz {

using test::big_endian;

namespace {

enum frame_type : std::uint8_t {
    type_data = 0,
    type_headers = 1,
    type_priority = 2,
    type_rst_stream = 3,
    type_settings = 4,
    type_push_promise = 5,
    type_ping = 6,
    type_goaway = 7,
    type_window_update = 8,
    type_continuation = 9,
};
constexpr std::uint8_t flag_end_stream = 1;
constexpr std::uint8_t flag_end_headers = 4;
constexpr std::size_t usual_frame_size = 16384;

/// Streams by small numbers: 0 is the connection, then those of clients in order, the even ones from 128 on.
std::uint32_t stream_of(std::uint8_t choice)
{
    return choice == 0 ? 0U : choice < 128 ? 2U * choice - 1 : 2U * (choice - 127U);
}

}  // namespace

std::size_t telling_size(std::uint8_t choice)
{
    constexpr std::array<std::size_t, 10> sizes{4095, 4096, 4097, 8192, 16383, 16384, 16385, 32767, 65535, 70000};
    return choice < 246 ? choice : sizes[choice - 246U];
}

std::string frame_writer::beginning() const
{
    const std::string settings = frame(type_settings, 0, 0, {});
    return from_ == http2::role::client ? std::string{test::preface} + settings : settings;
}

std::string frame_writer::usual_block() const
{
    if (from_ == http2::role::server) {
        return "\x88" + literal("content-type", "application/grpc");  // :status 200
    }
    return "\x83\x86" + literal(":path", "/moby.buildkit.v1.Control/Solve") +  // POST, http
           literal(":authority", "localhost") + literal("te", "trailers") + literal("content-type", "application/grpc");
}

std::string_view frame_writer::write(frame_op op, fuzz_input& script)
{
    out_.clear();
    if (op == frame_op::again) {
        for (std::size_t count = script.below(65); count > 0 && out_.size() < 65536; --count) {
            out_ += last_;
        }
        return out_;
    }
    last_ = frames(op, script);
    out_ = last_;
    return out_;
}

std::string frame_writer::frames(frame_op op, fuzz_input& script) const
{
    switch (op) {
        case frame_op::raw: return std::string{script.piece()};
        case frame_op::usual_headers: {
            const std::uint32_t stream = stream_of(script.byte());
            const auto flags = static_cast<std::uint8_t>(script.byte() | flag_end_headers);
            return frame(type_headers, flags & 0x2dU, stream, usual_block());
        }
        case frame_op::headers: {
            const std::uint32_t stream = stream_of(script.byte());
            const std::uint8_t flags = script.byte();
            return frame(type_headers, flags, stream, script.piece());
        }
        case frame_op::large_headers: {
            const std::uint32_t stream = stream_of(script.byte());
            const std::uint8_t flags = script.byte() & flag_end_stream;
            const std::string block = usual_block() + literal("x-long", std::string(telling_size(script.byte()), 'v'));
            const std::size_t cut = std::min({telling_size(script.byte()), block.size(), usual_frame_size});
            std::string out = frame(type_headers, flags, stream, std::string_view{block}.substr(0, cut));
            std::string_view left = std::string_view{block}.substr(cut);
            do {
                const std::string_view part = left.substr(0, usual_frame_size);
                left.remove_prefix(part.size());
                out += frame(type_continuation, left.empty() ? flag_end_headers : std::uint8_t{0}, stream, part);
            } while (!left.empty());
            return out;
        }
        case frame_op::data: {
            const std::uint32_t stream = stream_of(script.byte());
            const std::uint8_t flags = script.byte();
            return frame(type_data, flags, stream, std::string(telling_size(script.byte()), 'd'));
        }
        case frame_op::priority: {
            const std::uint32_t stream = stream_of(script.byte());
            return frame(type_priority, 0, stream, script.piece());
        }
        case frame_op::rst_stream: {
            const std::uint32_t stream = stream_of(script.byte());
            return frame(type_rst_stream, 0, stream, big_endian(script.byte()));
        }
        case frame_op::settings: {
            const std::uint8_t flags = script.byte();
            return frame(type_settings, flags, 0, script.piece());
        }
        case frame_op::push_promise: {
            const std::uint32_t stream = stream_of(script.byte());
            return frame(type_push_promise, flag_end_headers, stream, script.piece());
        }
        case frame_op::ping: return frame(type_ping, script.byte(), 0, "12345678");
        case frame_op::goaway: {
            const std::uint32_t last = script.number(4);
            return frame(type_goaway, 0, 0, big_endian(last) + big_endian(script.byte()));
        }
        case frame_op::window_update: {
            const std::uint32_t stream = stream_of(script.byte());
            return frame(type_window_update, 0, stream, big_endian(script.number(4)));
        }
        case frame_op::continuation: {
            const std::uint32_t stream = stream_of(script.byte());
            const std::uint8_t flags = script.byte();
            return frame(type_continuation, flags, stream, script.piece());
        }
        case frame_op::any: {
            const std::uint8_t type = script.byte();
            const std::uint8_t flags = script.byte();
            const std::uint32_t stream = script.number(4);
            return frame(type, flags, stream, script.piece());
        }
        case frame_op::again: break;
    }
    return {};
}

}  // namespace buildkit_lb::fuzz
