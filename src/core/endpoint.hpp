#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/failure.hpp"

namespace buildkit_lb {

/// Where something listens: `tcp://HOST:PORT`, `tcp://[V6]:PORT` or `unix:///PATH`. Names are not resolved here.
struct endpoint {
    enum class kind : std::uint8_t { tcp, unix_socket };

    kind type = kind::tcp;
    std::string host;  ///< tcp: name or address, an IPv6 address without its brackets
    std::uint16_t port = 0;
    std::string path;  ///< unix_socket: absolute path

    bool operator==(const endpoint&) const = default;

    /// The URL form it was parsed from.
    std::string to_string() const;
    /// True where only this machine can reach it: a unix socket, `localhost`, 127.0.0.0/8 or ::1.
    bool is_loopback() const;
};

/// Parses the URL form. The error says what is wrong with `text` and what would be right.
checked<endpoint> parse_endpoint(std::string_view text);

}  // namespace buildkit_lb
