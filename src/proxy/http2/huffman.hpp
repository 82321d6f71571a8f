#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace buildkit_lb::http2 {

/// Decodes a string of HPACK's Huffman code (RFC 7541, section 5.2 and appendix B) and appends it to `out`. False
/// where `in` is not a valid encoding: it holds EOS, or ends in anything but up to seven bits of EOS's prefix.
bool huffman_decode(std::span<const std::byte> in, std::string& out);

}  // namespace buildkit_lb::http2
