#pragma once

#include <cstdint>
#include <optional>

/// What the system tells of this process. Any thread; nullopt where it does not tell.
namespace buildkit_lb::metrics {

struct memory_sizes {
    std::uint64_t virtual_bytes = 0;
    std::uint64_t resident_bytes = 0;
};
std::optional<memory_sizes> process_memory();

std::optional<double> cpu_seconds();
std::optional<double> open_descriptors();
std::optional<double> max_descriptors();

/// Seconds since the epoch.
std::optional<double> start_time();

}  // namespace buildkit_lb::metrics
