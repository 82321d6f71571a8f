#pragma once

#include <cstdint>
#include <string_view>

namespace buildkit_lb::http2 {

/// RFC 9113, section 7. A peer may send other numbers; they are passed through as they are.
enum class error_code : std::uint32_t {
    no_error = 0x0,
    protocol_error = 0x1,
    internal_error = 0x2,
    flow_control_error = 0x3,
    settings_timeout = 0x4,
    stream_closed = 0x5,
    frame_size_error = 0x6,
    refused_stream = 0x7,
    cancel = 0x8,
    compression_error = 0x9,
    connect_error = 0xa,
    enhance_your_calm = 0xb,
    inadequate_security = 0xc,
    http_1_1_required = 0xd,
};

/// The lower-case name, a bounded set of words fit for a metric label; `unknown` for numbers the RFC does not name.
std::string_view to_string(error_code code);

}  // namespace buildkit_lb::http2
