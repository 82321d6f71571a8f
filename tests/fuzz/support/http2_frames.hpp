#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "common/http2_wire.hpp"
#include "http2/events.hpp"
#include "support/input.hpp"

/// HTTP/2 as a hostile peer speaks it. Plain bytes of a fuzzer hardly get beyond the first frame header; so an input is
/// a script of one-byte operations, and those that are frames are made here from what follows them.
namespace buildkit_lb::fuzz {

using test::frame;
using test::literal;

/// Operations that are frames; the others are the target's own.
enum class frame_op : std::uint8_t {
    raw,            ///< a piece as it is
    usual_headers,  ///< stream, flags; a request or an answer as BuildKit's programs send them
    headers,        ///< stream, flags, piece: an encoded block
    large_headers,  ///< stream, size, first fragment's size: a block with one long value in several frames
    data,           ///< stream, flags, size
    priority,       ///< stream, piece
    rst_stream,     ///< stream, code
    settings,       ///< flags, piece
    push_promise,   ///< stream, piece
    ping,           ///< flags
    goaway,         ///< last stream (4), code
    window_update,  ///< stream, increment (4)
    continuation,   ///< stream, flags, piece
    any,            ///< type, flags, stream (4), piece
    again,          ///< count: the last operation's bytes, up to 64 times
};
inline constexpr std::size_t frame_ops = 15;

/// Writes the frames of one peer.
class frame_writer {
public:
    /// `from`: the role of who sends.
    explicit frame_writer(http2::role from) : from_{from} {}

    /// What a connection begins with: the client's preface, SETTINGS.
    std::string beginning() const;

    /// The bytes of one operation, whose operands are taken from `script`. Good until the next call.
    std::string_view write(frame_op op, fuzz_input& script);

private:
    std::string usual_block() const;
    std::string frames(frame_op op, fuzz_input& script) const;

    http2::role from_;
    std::string last_;
    std::string out_;
};

/// Sizes that mean something: small ones, and those about the bounds of frames, windows and tables.
std::size_t telling_size(std::uint8_t choice);

}  // namespace buildkit_lb::fuzz
