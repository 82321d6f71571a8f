#include "core/ip_address.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <charconv>
#include <cstring>
#include <netinet/in.h>

namespace buildkit_lb {
namespace {

constexpr std::array<std::uint8_t, 12> v4_mapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
constexpr unsigned v4_offset = 96;  // bits before the IPv4 address in a mapped one
constexpr unsigned all_bits = 128;

/// `bytes` with all bits after the first `prefix` cleared.
std::array<std::uint8_t, 16> masked(std::array<std::uint8_t, 16> bytes, unsigned prefix)
{
    for (unsigned i = 0; i < bytes.size(); ++i) {
        const unsigned kept = std::min(8U, prefix - std::min(prefix, i * 8));
        bytes[i] = static_cast<std::uint8_t>(bytes[i] & (0xff00U >> kept));
    }
    return bytes;
}

}  // namespace

ip_address::ip_address(const std::array<std::uint8_t, 4>& v4)
{
    std::copy(v4_mapped.begin(), v4_mapped.end(), bytes_.begin());
    std::copy(v4.begin(), v4.end(), bytes_.begin() + v4_mapped.size());
}

bool ip_address::is_v4() const
{
    return std::equal(v4_mapped.begin(), v4_mapped.end(), bytes_.begin());
}

std::string ip_address::to_string() const
{
    std::array<char, INET6_ADDRSTRLEN> text{};
    const bool v4 = is_v4();
    ::inet_ntop(v4 ? AF_INET : AF_INET6, bytes_.data() + (v4 ? v4_mapped.size() : 0), text.data(), text.size());
    return text.data();
}

std::optional<ip_address> parse_ip(std::string_view text)
{
    const std::string copy{text};
    if (copy.find('\0') != copy.npos) {
        return std::nullopt;
    }
    std::array<std::uint8_t, 4> v4{};
    if (::inet_pton(AF_INET, copy.c_str(), v4.data()) == 1) {
        return ip_address{v4};
    }
    std::array<std::uint8_t, 16> v6{};
    if (::inet_pton(AF_INET6, copy.c_str(), v6.data()) == 1) {
        return ip_address{v6};
    }
    return std::nullopt;
}

std::optional<ip_endpoint> ip_endpoint_of(const sockaddr& from)
{
    // Copied, because a sockaddr need not be aligned as what it stands for.
    if (from.sa_family == AF_INET) {
        sockaddr_in in{};
        std::memcpy(&in, &from, sizeof in);
        std::array<std::uint8_t, 4> v4{};
        std::memcpy(v4.data(), &in.sin_addr, v4.size());
        return ip_endpoint{ip_address{v4}, ntohs(in.sin_port)};
    }
    if (from.sa_family == AF_INET6) {
        sockaddr_in6 in{};
        std::memcpy(&in, &from, sizeof in);
        std::array<std::uint8_t, 16> v6{};
        std::memcpy(v6.data(), &in.sin6_addr, v6.size());
        return ip_endpoint{ip_address{v6}, ntohs(in.sin6_port)};
    }
    return std::nullopt;
}

bool ip_network::contains(const ip_address& address) const
{
    return address.is_v4() == base_.is_v4() && masked(address.bytes(), prefix_) == base_.bytes();
}

std::string ip_network::to_string() const
{
    const unsigned shown = base_.is_v4() ? prefix_ - v4_offset : prefix_;
    return base_.to_string() + (prefix_ == all_bits ? "" : "/" + std::to_string(shown));
}

checked<ip_network> parse_network(std::string_view text)
{
    const auto slash = text.find('/');
    const auto base = parse_ip(text.substr(0, slash));
    if (!base) {
        return complaint{"is not an IP address or network"};
    }
    unsigned prefix = all_bits;
    if (slash != text.npos) {
        // Written as mapped, an IPv4 network has the prefix of IPv6.
        const bool v4 = text.substr(0, slash).find(':') == text.npos;
        const auto digits = text.substr(slash + 1);
        const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), prefix);
        const unsigned most = v4 ? all_bits - v4_offset : all_bits;
        if (error != std::errc{} || end != digits.data() + digits.size() || prefix > most) {
            return complaint{"has no prefix from 0 to " + std::to_string(most)};
        }
        prefix += v4 ? v4_offset : 0;
    }
    if (base->is_v4() && prefix < v4_offset) {
        return complaint{"mixes IPv4 and IPv6: write two networks"};
    }
    const ip_address network{masked(base->bytes(), prefix)};
    if (network != *base) {
        return complaint{"has bits behind its prefix: write " + ip_network{network, prefix}.to_string()};
    }
    return ip_network{network, prefix};
}

bool contains(std::span<const ip_network> any, const ip_address& address)
{
    return std::any_of(any.begin(), any.end(), [&](const ip_network& n) { return n.contains(address); });
}

}  // namespace buildkit_lb
