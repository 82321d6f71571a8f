#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "core/failure.hpp"

struct sockaddr;

namespace buildkit_lb {

/// An IP address. IPv4 is kept as IPv4-mapped IPv6 (RFC 4291, 2.5.5.2), so that one address has one form, whether a
/// dual-stack socket, a proxy or a person tells it. Without the zone of a link-local one.
class ip_address {
public:
    ip_address() = default;
    explicit ip_address(const std::array<std::uint8_t, 4>& v4);
    explicit ip_address(const std::array<std::uint8_t, 16>& v6) : bytes_{v6} {}

    bool is_v4() const;
    const std::array<std::uint8_t, 16>& bytes() const { return bytes_; }
    /// `10.0.0.1` or `2001:db8::1`.
    std::string to_string() const;

    bool operator==(const ip_address&) const = default;

private:
    std::array<std::uint8_t, 16> bytes_{};
};

/// Reads `10.0.0.1`, `2001:db8::1` or `::ffff:10.0.0.1`, without a zone. Never a name.
std::optional<ip_address> parse_ip(std::string_view text);

/// An address with its port.
struct ip_endpoint {
    ip_address address;
    std::uint16_t port = 0;

    bool operator==(const ip_endpoint&) const = default;
};

/// Of a socket address; nullopt when that is not an IP address.
std::optional<ip_endpoint> ip_endpoint_of(const sockaddr& from);

/// A network as CIDR writes it, or a single address. One of IPv4 holds IPv4 addresses only, one of IPv6 the others.
class ip_network {
public:
    ip_network() = default;
    ip_network(const ip_address& base, unsigned prefix) : base_{base}, prefix_{prefix} {}

    bool contains(const ip_address& address) const;
    /// `10.0.0.0/8`; of a single address without its prefix.
    std::string to_string() const;

    bool operator==(const ip_network&) const = default;

private:
    ip_address base_;
    unsigned prefix_ = 0;  // bits of the 16 bytes
};

/// Reads `10.0.0.0/8`, `fd00::/8` or a single address. The complaint says what is wrong with `text`.
checked<ip_network> parse_network(std::string_view text);

bool contains(std::span<const ip_network> any, const ip_address& address);

}  // namespace buildkit_lb
