#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "common/http2_wire.hpp"
#include "support/peer.hpp"

/// HTTP/2 as raw bytes, for peers that do what no engine would.
namespace buildkit_lb::test {

/// What a client begins with: the preface and empty SETTINGS.
std::string raw_preface();

/// HEADERS of a gRPC request without a body, END_STREAM not set.
std::string raw_request(std::uint32_t stream, std::string_view path);

/// Reads until GOAWAY or the end: its error code, or -1.
int goaway_code(peer& from);

}  // namespace buildkit_lb::test
