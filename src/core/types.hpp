#pragma once

#include <chrono>
#include <compare>
#include <cstdint>

namespace buildkit_lb {

/// All durations and deadlines are measured on this clock. Pure code never reads it: it is handed a time_point.
using clock = std::chrono::steady_clock;
using time_point = clock::time_point;
using duration = clock::duration;

/// A number that is not interchangeable with other numbers: `strong<struct weight_tag>`.
template <class Tag, class Value = std::uint64_t>
struct strong {
    Value value{};

    constexpr strong() = default;
    constexpr explicit strong(Value v) : value{v} {}
    constexpr auto operator<=>(const strong&) const = default;
};

/// How large a share of the builds a worker gets, relative to the weights of the others. 1 to 1000.
using worker_weight = strong<struct worker_weight_tag, std::uint32_t>;

/// A size in bytes.
using byte_count = strong<struct byte_count_tag>;

}  // namespace buildkit_lb
