#include "http2/flood_guard.hpp"

#include <algorithm>

namespace buildkit_lb::http2 {
namespace {

// RFC 9113, section 6.
constexpr std::uint8_t type_data = 0;
constexpr std::uint8_t type_headers = 1;
constexpr std::uint8_t type_rst_stream = 3;
constexpr std::uint8_t type_settings = 4;
constexpr std::uint8_t type_ping = 6;
constexpr std::uint8_t type_window_update = 8;
constexpr std::uint8_t type_continuation = 9;
constexpr std::uint8_t flag_end_stream = 0x1;
constexpr std::uint8_t flag_padded = 0x8;

/// What a padded frame may hold without a byte of payload: 255 of padding and their number.
constexpr std::uint32_t longest_padding = 256;
constexpr std::uint32_t settings_entry = 6;

/// A reader returns credit of the stream and of the connection, some in smaller pieces than they were sent.
constexpr double updates_per_data_frame = 4;
constexpr double pings_per_data_frame = 1;
constexpr double resets_per_large_list = 20;

}  // namespace

std::string_view name_of(flood kind)
{
    switch (kind) {
        case flood::none: break;
        case flood::resets: return "reset_flood";
        case flood::pings: return "ping_flood";
        case flood::settings: return "settings_flood";
        case flood::window_updates: return "window_update_flood";
        case flood::priorities: return "priority_flood";
        case flood::empty_frames: return "empty_frame_flood";
    }
    return "none";
}

flood_guard::flood_guard(const flood_limits& limits)
    : buckets_{{{limits.resets, limits.resets * limits.burst_seconds},
                {limits.pings, limits.pings * limits.burst_seconds},
                {limits.settings, limits.settings * limits.burst_seconds},
                {limits.window_updates, limits.window_updates * limits.burst_seconds},
                {limits.priorities, limits.priorities * limits.burst_seconds},
                {limits.empty_frames, limits.empty_frames * limits.burst_seconds}}}
{
}

flood flood_guard::frame(std::uint8_t type, std::uint8_t flags, std::uint32_t length, time_point now)
{
    switch (type) {
        case type_data: {
            const bool hollow = length == 0 || ((flags & flag_padded) != 0 && length <= longest_padding);
            return hollow && (flags & flag_end_stream) == 0 ? take(flood::empty_frames, 1, now) : flood::none;
        }
        case type_headers: return flood::none;  // bounded by streams, and by the resets of those that end early
        case type_continuation: return length == 0 ? take(flood::empty_frames, 1, now) : flood::none;
        case type_rst_stream: return take(flood::resets, 1, now);
        case type_settings:
            // Each entry may make us look at all streams.
            return take(flood::settings, std::max(1U, length / settings_entry), now);
        case type_ping: return take(flood::pings, 1, now);
        case type_window_update: return take(flood::window_updates, 1, now);
        default: return take(flood::priorities, 1, now);  // also GOAWAY, PUSH_PROMISE and what nobody knows
    }
}

flood flood_guard::reset_caused(bool large, time_point now)
{
    return take(flood::resets, large ? resets_per_large_list : 1, now);
}

void flood_guard::data_sent()
{
    bucket(flood::window_updates).give(updates_per_data_frame);
    bucket(flood::pings).give(pings_per_data_frame);
}

void flood_guard::request_sent()
{
    bucket(flood::resets).give(1);
}

flood flood_guard::take(flood kind, double count, time_point now)
{
    return bucket(kind).take(count, now) ? flood::none : kind;
}

}  // namespace buildkit_lb::http2
