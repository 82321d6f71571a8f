#pragma once

#include <cstdint>
#include <string>
#include <string_view>

/// HTTP/2 as bytes, for tests that say what no engine would. Pure; of unit, integration and fuzz tests alike.
namespace buildkit_lb::test {

inline constexpr std::string_view preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

inline std::string big_endian(std::uint32_t value)
{
    return {static_cast<char>(value >> 24U), static_cast<char>(value >> 16U), static_cast<char>(value >> 8U),
            static_cast<char>(value)};
}

/// A frame as it goes over the wire.
inline std::string frame(int type, int flags, std::uint32_t stream, std::string_view payload)
{
    std::string out = big_endian(static_cast<std::uint32_t>(payload.size())).substr(1);
    out += static_cast<char>(type);
    out += static_cast<char>(flags);
    out += big_endian(stream);
    return out.append(payload);
}

/// The integer representation of RFC 7541, section 5.1, with a prefix of 7 bits.
inline std::string hpack_length(std::size_t length)
{
    if (length < 127) {
        return {static_cast<char>(length)};
    }
    std::string out{'\x7f'};
    for (length -= 127; length >= 128; length >>= 7U) {
        out += static_cast<char>(length | 128U);
    }
    return out + static_cast<char>(length);
}

/// A literal header field that enters no table, without Huffman coding (RFC 7541, section 6.2.2).
inline std::string literal(std::string_view name, std::string_view value)
{
    std::string out{'\0'};
    out.append(hpack_length(name.size())).append(name);
    return out.append(hpack_length(value.size())).append(value);
}

}  // namespace buildkit_lb::test
