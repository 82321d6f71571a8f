#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace buildkit_lb::wire::types {
class Timestamp;
}

namespace buildkit_lb::buildkit {

/// Points on the clock of the calendar, as messages carry them. Pure code never reads it: it is handed one.
using wall_time = std::chrono::system_clock::time_point;

/// Reads a serialized google.protobuf.Timestamp. False when malformed; a time beyond the clock's range (1677 to 2262)
/// becomes the nearest it has.
bool read_timestamp(std::string_view bytes, std::optional<wall_time>& time);

/// Sets `timestamp` to `time`, exact to the nanosecond.
void write_timestamp(wall_time time, wire::types::Timestamp& timestamp);

/// `time` as RFC 3339 in UTC with nanoseconds, as Go's time.RFC3339Nano reads it.
std::string rfc3339(wall_time time);

}  // namespace buildkit_lb::buildkit
