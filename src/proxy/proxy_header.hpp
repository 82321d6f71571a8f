#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <variant>

#include "core/failure.hpp"
#include "core/ip_address.hpp"

/// The header by which a proxy tells from where the connection comes that it passes on: the PROXY protocol, versions 1
/// and 2, as its specification has them (haproxy.org, proxy-protocol.txt). Pure.
namespace buildkit_lb::proxy {

/// The two ends of a connection as its client sees them.
struct connection_addresses {
    ip_endpoint source;       ///< the client
    ip_endpoint destination;  ///< what it connected to

    bool operator==(const connection_addresses&) const = default;
};

struct proxy_header {
    std::size_t size = 0;  ///< bytes: what follows belongs to the connection
    /// nullopt: the connection is the proxy's own (LOCAL), or it can't tell where it comes from (UNKNOWN, unix
    /// sockets).
    std::optional<connection_addresses> addresses;
};

/// What has come is the beginning of a header, all of it.
struct need_more {};

/// Reads the header at the beginning of `received`, which may hold more. What can't become a header is a complaint with
/// the first byte that shows it, so that nobody waits for the rest. Extensions (TLVs) of version 2 are skipped.
using parsed_proxy_header = std::variant<need_more, proxy_header, complaint>;
parsed_proxy_header parse_proxy_header(std::span<const std::byte> received);

/// Which header is sent to workers.
enum class proxy_version : std::uint8_t { off, v1, v2 };

/// The header for a connection; nullopt: one of a unix socket (version 1: UNKNOWN, 2: LOCAL). Empty for `off`.
std::string make_proxy_header(proxy_version version, const std::optional<connection_addresses>& of);

}  // namespace buildkit_lb::proxy
