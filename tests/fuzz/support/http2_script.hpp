#pragma once

#include <string_view>

#include "http2/events.hpp"

namespace buildkit_lb::fuzz {

/// Runs one engine against a script: first a byte for how its peer's bytes are cut, then operations. Those of
/// frame_op are what the peer sends; after them come the commands of the engine's owner:
///
///     15 answer (stream, end)         16 data (stream, size)       17 trailers (stream)     18 end (stream)
///     19 reset (stream, code)         20 reset when sent (stream)  21 consume (stream)      22 collect (size)
///     23 GOAWAY (kind)                24 a request (flags)         25 1xx (stream)          26 the connection is lost
void run_http2_script(http2::role as, std::string_view script);

/// How a peer's bytes are cut, by the first byte of a script: whole, or in pieces of that many bytes.
std::size_t piece_size(unsigned char choice);

}  // namespace buildkit_lb::fuzz
