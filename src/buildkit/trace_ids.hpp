#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/failure.hpp"

namespace buildkit_lb::buildkit {

/// The most traces that one export is looked through for: clients export one, or a few that ended together.
inline constexpr std::size_t max_traces = 64;

/// The ids of the traces that a serialized ExportTraceServiceRequest has spans of, as 32 hex digits, each once and at
/// most max_traces. Malformed bytes are errc::protocol.
result<std::vector<std::string>> exported_traces(std::string_view message);

}  // namespace buildkit_lb::buildkit
