#pragma once

#include <cstddef>
#include <cstdint>

#include "core/types.hpp"

namespace buildkit_lb::http2 {

/// What a peer may send, a second over time, of frames that carry no payload; what it did not use of that for up to
/// `burst_seconds` it may send at once. More ends the connection. See flood_guard.
struct flood_limits {
    double resets = 100;  ///< RST_STREAM, and what makes us reset a stream
    double pings = 20;
    double settings = 10;  ///< entries
    double window_updates = 200;
    double priorities = 50;  ///< and other frames that we have no use for
    double empty_frames = 50;
    double burst_seconds = 20;
};

/// Bounds of one connection. The defaults fit a connection of many builds; a tunnel inside a session wants less.
struct options {
    /// Streams the peer may have open at once (SETTINGS_MAX_CONCURRENT_STREAMS). Server role.
    std::uint32_t max_concurrent_streams = 10000;
    /// Streams we open before the peer's SETTINGS say how many it takes. Client role.
    std::uint32_t assumed_peer_streams = 100;

    /// What a new stream's peer may send before credit is returned (SETTINGS_INITIAL_WINDOW_SIZE), bytes.
    std::uint32_t initial_stream_window = 256 * 1024;
    /// How far the window of a stream that is consumed quickly grows: 50 ms at 1 Gbit/s is 6.25 MB.
    std::uint32_t max_stream_window = 8 * 1024 * 1024;
    /// What the peer may send on all streams together before credit is returned; at most memory_budget.
    std::uint32_t connection_window = 16 * 1024 * 1024;
    /// Bytes received and not consumed never exceed this; see engine for the exact rules.
    std::size_t memory_budget = 64 * 1024 * 1024;

    /// Names, values and 32 bytes a field of one header block (SETTINGS_MAX_HEADER_LIST_SIZE). More fails the stream.
    std::uint32_t max_header_list = 2 * 1024 * 1024;
    /// Encoded bytes of one header block, and CONTINUATION frames it may come in. More fails the connection.
    std::size_t max_header_block = 4 * 1024 * 1024;
    std::size_t max_continuations = 512;

    /// Acknowledgements (PING, SETTINGS) that may wait for a peer that does not read. More fails the connection.
    std::size_t max_outbound_acks = 1000;
    /// Entries of one SETTINGS frame. More fails the connection.
    std::size_t max_settings_entries = 32;
    flood_limits floods{};
    /// Read once for each receive(). Tests have a clock of their own.
    time_point (*now)() noexcept = &clock::now;
};

}  // namespace buildkit_lb::http2
