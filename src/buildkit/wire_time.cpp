#include "buildkit/wire_time.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <ctime>

#include "buildkit/wire/types.pb.h"
#include "buildkit/wire_reader.hpp"

namespace buildkit_lb::buildkit {

using std::chrono::nanoseconds;
using std::chrono::seconds;

bool read_timestamp(std::string_view bytes, std::optional<wall_time>& time)
{
    using stamp = wire::types::Timestamp;
    // One second short of what 64 bits of nanoseconds hold, so that the nanoseconds can be added.
    constexpr std::int64_t most = INT64_MAX / 1'000'000'000 - 1;
    std::int64_t whole = 0;
    std::int64_t nanos = 0;
    wire_reader fields{bytes};
    while (fields.next()) {
        if (fields.number() == stamp::kSecondsFieldNumber) {
            whole = static_cast<std::int64_t>(fields.varint());
        } else if (fields.number() == stamp::kNanosFieldNumber) {
            nanos = static_cast<std::int64_t>(fields.varint());
        }
    }
    if (fields.malformed()) {
        return false;
    }
    const auto since =
        seconds{std::clamp(whole, -most, most)} + nanoseconds{std::clamp<std::int64_t>(nanos, 0, 999'999'999)};
    time = wall_time{std::chrono::duration_cast<wall_time::duration>(since)};
    return true;
}

void write_timestamp(wall_time time, wire::types::Timestamp& timestamp)
{
    const auto since = time.time_since_epoch();
    const auto whole = std::chrono::floor<seconds>(since);
    timestamp.set_seconds(whole.count());
    timestamp.set_nanos(static_cast<std::int32_t>(std::chrono::duration_cast<nanoseconds>(since - whole).count()));
}

std::string rfc3339(wall_time time)
{
    const auto whole_seconds = std::chrono::floor<std::chrono::seconds>(time);
    const std::time_t whole = wall_time::clock::to_time_t(whole_seconds);
    std::tm utc{};
    ::gmtime_r(&whole, &utc);
    std::array<char, 64> text{};
    const auto size = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S", &utc);
    std::string fraction = std::to_string(std::chrono::nanoseconds{time - whole_seconds}.count());
    fraction.insert(0, 9 - fraction.size(), '0');
    return std::string{text.data(), size} + "." + fraction + "Z";
}

}  // namespace buildkit_lb::buildkit
