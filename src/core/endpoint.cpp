#include "core/endpoint.hpp"

#include <arpa/inet.h>
#include <charconv>

namespace buildkit_lb {
namespace {

constexpr std::string_view tcp_scheme = "tcp://";
constexpr std::string_view unix_scheme = "unix://";

checked<std::uint16_t> parse_port(std::string_view text)
{
    unsigned port = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
    if (error != std::errc{} || end != text.data() + text.size() || port > 65535) {
        return complaint{"'" + std::string{text} + "' is not a port: a number from 0 to 65535"};
    }
    return static_cast<std::uint16_t>(port);
}

checked<endpoint> parse_tcp(std::string_view rest)
{
    std::string_view host;
    std::string_view port;
    if (rest.starts_with('[')) {
        const auto close = rest.find("]:");
        if (close == std::string_view::npos) {
            return complaint{"an IPv6 address is written tcp://[ADDRESS]:PORT"};
        }
        host = rest.substr(1, close - 1);
        port = rest.substr(close + 2);
    } else {
        const auto colon = rest.rfind(':');
        if (colon == std::string_view::npos) {
            return complaint{"the port is missing: write tcp://HOST:PORT"};
        }
        host = rest.substr(0, colon);
        port = rest.substr(colon + 1);
        if (host.find(':') != std::string_view::npos) {
            return complaint{"an IPv6 address is written tcp://[ADDRESS]:PORT"};
        }
    }
    if (host.empty()) {
        return complaint{"the host is missing: write tcp://HOST:PORT (0.0.0.0 for every address)"};
    }
    const auto number = parse_port(port);
    if (!number) {
        return number.error();
    }
    endpoint e;
    e.host = host;
    e.port = *number;
    return e;
}

/// 127.0.0.0/8 written as an address: a host name may begin with `127.` too.
bool is_loopback_v4(const std::string& host)
{
    in_addr address{};
    return host.starts_with("127.") && ::inet_pton(AF_INET, host.c_str(), &address) == 1;
}

}  // namespace

std::string endpoint::to_string() const
{
    if (type == kind::unix_socket) {
        return std::string{unix_scheme} + path;
    }
    const bool v6 = host.find(':') != std::string::npos;
    return std::string{tcp_scheme} + (v6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

bool endpoint::is_loopback() const
{
    return type == kind::unix_socket || host == "localhost" || host == "::1" || is_loopback_v4(host);
}

checked<endpoint> parse_endpoint(std::string_view text)
{
    if (text.starts_with(tcp_scheme)) {
        return parse_tcp(text.substr(tcp_scheme.size()));
    }
    if (text.starts_with(unix_scheme)) {
        const auto path = text.substr(unix_scheme.size());
        if (!path.starts_with('/')) {
            return complaint{"a unix socket is written unix:///ABSOLUTE/PATH"};
        }
        // sockaddr_un holds 107 characters and the closing NUL.
        if (path.size() > 107) {
            return complaint{"the path of a unix socket has at most 107 characters"};
        }
        endpoint e;
        e.type = endpoint::kind::unix_socket;
        e.path = path;
        return e;
    }
    return complaint{"an address is written tcp://HOST:PORT or unix:///PATH"};
}

}  // namespace buildkit_lb
