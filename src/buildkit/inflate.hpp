#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "buildkit/grpc_framing.hpp"

namespace buildkit_lb::buildkit {

/// Inflates a message whose `compressed` flag is set, for reading; what is passed on stays as it came. Takes gzip
/// (several members too) and zlib streams, which is what gRPC calls `gzip` and `deflate`. More than `max` bytes of
/// output is errc::too_large: no more than that is ever allocated. Broken or cut input is errc::protocol.
result<std::string> inflate(std::string_view compressed, failure_source side, std::size_t max = default_max_message);

/// The readable payload of `message`: inflated if it is flagged, else its own.
result<std::string> readable(grpc_message message, failure_source side, std::size_t max = default_max_message);

}  // namespace buildkit_lb::buildkit
