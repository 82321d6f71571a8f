#include "http2/error_code.hpp"

namespace buildkit_lb::http2 {

std::string_view to_string(error_code code)
{
    switch (code) {
        case error_code::no_error: return "no_error";
        case error_code::protocol_error: return "protocol_error";
        case error_code::internal_error: return "internal_error";
        case error_code::flow_control_error: return "flow_control_error";
        case error_code::settings_timeout: return "settings_timeout";
        case error_code::stream_closed: return "stream_closed";
        case error_code::frame_size_error: return "frame_size_error";
        case error_code::refused_stream: return "refused_stream";
        case error_code::cancel: return "cancel";
        case error_code::compression_error: return "compression_error";
        case error_code::connect_error: return "connect_error";
        case error_code::enhance_your_calm: return "enhance_your_calm";
        case error_code::inadequate_security: return "inadequate_security";
        case error_code::http_1_1_required: return "http_1_1_required";
    }
    return "unknown";
}

}  // namespace buildkit_lb::http2
