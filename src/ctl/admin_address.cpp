#include "ctl/admin_address.hpp"

#include <algorithm>

namespace buildkit_lb::ctl {

checked<endpoint> parse_admin_address(std::string_view text)
{
    constexpr std::string_view http = "http://";
    const std::string quoted = "'" + std::string{text} + "': ";
    std::string address{text};
    if (text.starts_with("https://")) {
        return complaint{quoted +
                         "the admin server does not speak TLS: use an ssh tunnel, or http:// on a network you "
                         "trust"};
    }
    if (text.starts_with(http)) {
        std::string_view host = text.substr(http.size());
        if (host.ends_with('/')) {
            host.remove_suffix(1);
        }
        if (host.find('/') != std::string_view::npos) {
            return complaint{quoted + "an address has no path: write http://HOST:PORT"};
        }
        const auto after_v6 = host.starts_with('[') ? std::min(host.find(']'), host.size()) : 0;
        const bool has_port = host.find(':', after_v6) != std::string_view::npos;
        address = "tcp://" + std::string{host} + (has_port ? "" : ":80");
    }
    auto parsed = parse_endpoint(address);
    if (!parsed) {
        return complaint{quoted + parsed.error().text};
    }
    return parsed;
}

endpoint reached_from_here(endpoint address)
{
    if (address.type == endpoint::kind::tcp && address.host == "0.0.0.0") {
        address.host = "127.0.0.1";
    } else if (address.type == endpoint::kind::tcp && address.host == "::") {
        address.host = "::1";
    }
    return address;
}

std::string percent_encoded(std::string_view text)
{
    constexpr std::string_view unreserved = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    constexpr std::string_view digits = "0123456789ABCDEF";
    std::string out;
    for (const char c : text) {
        if (unreserved.find(c) != std::string_view::npos) {
            out += c;
        } else {
            const auto byte = static_cast<unsigned char>(c);
            out += '%';
            out += digits[byte >> 4];
            out += digits[byte & 15];
        }
    }
    return out;
}

}  // namespace buildkit_lb::ctl
