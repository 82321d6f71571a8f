#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "http2/events.hpp"
#include "http2/large_headers.hpp"
#include "http2/options.hpp"

namespace buildkit_lb::http2 {

/// Stands between the peer's bytes and nghttp2, whose HPACK gives the connection up over a header value of more than
/// 64 KiB. It walks over frame headers; header blocks that come in more than one frame, and no smaller ones can hold
/// such a value, are gathered, and their large values are replaced by placeholders (see large_headers). All other
/// bytes pass as they are, uncopied. Owned by an engine.
class header_filter {
public:
    struct frame_header {
        std::uint32_t length;
        std::uint8_t type;
        std::uint8_t flags;
        std::uint32_t stream;
    };
    /// Says of each frame, as it begins, whether it may go on to nghttp2.
    struct gate {
        bool (*admits)(void* context, const frame_header& frame);
        void* context;
    };

    header_filter(role as, const options& limits, gate all);

    /// The next bytes for nghttp2, cut from the front of `in` or made here (good until the next call). Empty where
    /// `in` is used up, or where the connection must be given up: see flooded().
    std::span<const std::byte> next(std::span<const std::byte>& in);

    /// The peer has sent more CONTINUATION frames, or a larger header block, than is allowed.
    bool flooded() const { return flooded_; }

    /// A frame was not admitted: nothing passes any more.
    bool shut() const { return shut_; }

    /// The values cut out of the header block that next() returned last.
    const large_values& values() const { return values_; }

private:
    enum class state : std::uint8_t {
        passing,       // between frames, or inside one that passes
        first,         // inside the HEADERS frame of a block of several frames
        between,       // after a frame of such a block
        continuation,  // inside a CONTINUATION frame of it
        goaway         // inside a GOAWAY that is corrected
    };

    static frame_header parse(const std::byte* bytes);
    bool gathers(const frame_header& h) const;
    /// A client's GOAWAY: the last stream it names is set to 0. We open no streams, so the number means nothing; but
    /// gRPC clients say 2^31-1 as they close, and nghttp2 takes that for a protocol error.
    bool corrects(const frame_header& h) const;
    bool admits(const frame_header& h);
    /// Looks at a complete frame header. True: its frame is gathered, not passed.
    bool on_frame_header(const std::byte* bytes);
    /// The payload of a gathered frame is complete.
    void on_frame_end();
    bool unwrap_first_frame();
    void emit_block(std::span<const std::byte> block);
    void emit_frame(std::uint8_t type, std::uint8_t flags, std::span<const std::byte> extra,
                    std::span<const std::byte> payload);

    std::size_t max_block_;
    std::size_t max_continuations_;
    large_values values_;

    state state_ = state::passing;
    bool from_client_;
    std::size_t preface_left_;      // of the client's preface
    std::size_t payload_left_ = 0;  // of the frame we are in
    std::byte partial_[9] = {};     // a frame header that came in pieces
    std::size_t partial_size_ = 0;
    bool flooded_ = false;
    bool shut_ = false;
    bool ends_run_ = false;  // what is passed at once ends with the frame we are in
    gate gate_;

    frame_header headers_{};  // of the HEADERS frame of the block being gathered
    frame_header current_{};
    std::vector<std::byte> block_;  // payloads gathered
    std::vector<std::byte> priority_;
    std::size_t continuations_ = 0;
    std::vector<std::byte> emit_;  // frames made here, for nghttp2
    bool emitted_ = false;         // emit_ has been returned
};

}  // namespace buildkit_lb::http2
