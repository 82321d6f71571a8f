#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "http2/error_code.hpp"

namespace buildkit_lb::http2 {

/// Tells frames that a client must not send any more, on streams that have been closed or were skipped, from those
/// that were under way when we reset a stream: the former are errors of the connection (RFC 9113, section 5.1), the
/// latter are ignored. nghttp2 can do it only by keeping closed streams. Pure; owned by a server's engine.
class stale_frames {
public:
    /// The client has opened a stream. Numbers only grow.
    void opened(std::uint32_t stream);
    /// We have reset a stream, open or refused.
    void reset(std::uint32_t stream);

    /// The newest stream that was opened. Frames on later ones are not judged here.
    std::uint32_t newest() const { return newest_; }
    /// The error that DATA or HEADERS on `stream` is, which nghttp2 does not know (any more); no_error: ignore it.
    error_code judge(std::uint32_t stream) const;

private:
    static constexpr std::size_t most_gaps = 64;

    struct gap {
        std::uint32_t after;
        std::uint32_t before;
    };

    std::uint32_t newest_ = 0;
    std::vector<gap> gaps_;              // of numbers that were skipped
    std::vector<std::uint32_t> resets_;  // a ring of the latest ones
    std::size_t next_reset_ = 0;
    std::uint32_t forgotten_ = 0;  // the newest stream whose reset has been dropped from the ring
};

}  // namespace buildkit_lb::http2
