#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/failure.hpp"
#include "core/types.hpp"

/// Texts of the configuration file as values, without any range: pure functions. A complaint quotes what was found and
/// says what is wrong with it; readers.hpp adds what would be right.
namespace buildkit_lb::config {

/// Decimal digits; a minus sign is accepted so that the range check can name the number.
checked<std::int64_t> parse_whole(std::string_view text);

/// Digits with at most one point: `1`, `1.25`.
checked<double> parse_decimal(std::string_view text);

/// Whole numbers with units, larger units first: `500ms`, `5s`, `10m`, `1h`, `1h30m`.
checked<std::chrono::milliseconds> parse_duration(std::string_view text);

/// A whole number with one of the units B, KiB, MiB, GiB.
checked<byte_count> parse_size(std::string_view text);

/// A whole number and `%`.
checked<std::int64_t> parse_percentage(std::string_view text);

/// `true` or `false`, as YAML 1.2 has them.
checked<bool> parse_boolean(std::string_view text);

/// The shortest text that parse_duration reads as `value`, with one unit: `90s`, `1h`, `0s`.
std::string to_text(std::chrono::milliseconds value);

/// The same for sizes: `16MiB`, `0B`.
std::string to_text(byte_count value);

}  // namespace buildkit_lb::config
