#include "proxy/proxy_header.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>

namespace buildkit_lb::proxy {
namespace {

using namespace std::string_view_literals;

constexpr std::string_view v1_begin = "PROXY ";
constexpr std::string_view v1_end = "\r\n";
constexpr std::size_t v1_longest = 107;  // with its end

constexpr std::string_view v2_signature = "\r\n\r\n\0\r\nQUIT\n"sv;
constexpr std::size_t v2_fixed = 16;  // signature, version and command, family and protocol, length
constexpr std::uint8_t v2_local = 0x20;
constexpr std::uint8_t v2_proxy = 0x21;
constexpr std::uint8_t tcp4 = 0x11;
constexpr std::uint8_t tcp6 = 0x21;

std::uint8_t byte_at(std::string_view text, std::size_t at)
{
    return static_cast<std::uint8_t>(text[at]);
}

std::uint16_t number_at(std::string_view text, std::size_t at)
{
    return static_cast<std::uint16_t>(byte_at(text, at) << 8U | byte_at(text, at + 1));
}

/// One begins with the other: what has come may still become `wanted`, or has begun with it.
bool agree(std::string_view received, std::string_view wanted)
{
    const auto both = std::min(received.size(), wanted.size());
    return received.substr(0, both) == wanted.substr(0, both);
}

// ---- Version 1 ----

/// Cuts the next word off, which one space ends, or the end of the line. nullopt: there is none.
std::optional<std::string_view> next_word(std::string_view& line)
{
    const auto end = std::min(line.find(' '), line.size());
    const auto word = line.substr(0, end);
    if (word.empty()) {
        return std::nullopt;
    }
    line.remove_prefix(end);
    // A space at the end is one too many: an empty word follows it, which is left to be found.
    if (line.size() > 1) {
        line.remove_prefix(1);
    }
    return word;
}

std::optional<ip_address> address_of(std::string_view word, bool v6)
{
    const bool written_as_v6 = word.find(':') != word.npos;
    return written_as_v6 == v6 ? parse_ip(word) : std::nullopt;
}

std::optional<std::uint16_t> port_of(std::string_view word)
{
    std::uint16_t port = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), port);
    const bool leading_zero = word.size() > 1 && word.starts_with('0');
    if (error != std::errc{} || end != word.data() + word.size() || leading_zero) {
        return std::nullopt;
    }
    return port;
}

/// `line` is what stands between `PROXY ` and the end.
parsed_proxy_header read_v1(std::string_view line, std::size_t size)
{
    const auto protocol = next_word(line);
    if (protocol == "UNKNOWN") {
        return proxy_header{size, std::nullopt};
    }
    const bool v6 = protocol == "TCP6";
    if (!v6 && protocol != "TCP4") {
        return complaint{"PROXY version 1 of a protocol that is none of TCP4, TCP6 and UNKNOWN"};
    }
    std::array<std::optional<std::string_view>, 4> words;
    for (auto& word : words) {
        word = next_word(line);
    }
    if (!words.back() || !line.empty()) {
        return complaint{"PROXY version 1 without exactly two addresses and two ports"};
    }
    const auto source = address_of(*words[0], v6);
    const auto destination = address_of(*words[1], v6);
    const auto source_port = port_of(*words[2]);
    const auto destination_port = port_of(*words[3]);
    if (!source || !destination || !source_port || !destination_port) {
        return complaint{"PROXY version 1 with an address or a port that can't be read"};
    }
    return proxy_header{size, connection_addresses{{*source, *source_port}, {*destination, *destination_port}}};
}

parsed_proxy_header parse_v1(std::string_view received)
{
    const auto within = received.substr(0, v1_longest);
    const auto end = within.find(v1_end);
    if (end != within.npos) {
        return read_v1(within.substr(v1_begin.size(), end - v1_begin.size()), end + v1_end.size());
    }
    if (received.size() >= v1_longest) {
        return complaint{"PROXY version 1 of more than 107 bytes"};
    }
    return need_more{};
}

// ---- Version 2 ----

template <std::size_t Size>
ip_address address_at(std::string_view text, std::size_t at)
{
    std::array<std::uint8_t, Size> bytes{};
    std::transform(text.begin() + static_cast<std::ptrdiff_t>(at),
                   text.begin() + static_cast<std::ptrdiff_t>(at + Size), bytes.begin(),
                   [](char c) { return static_cast<std::uint8_t>(c); });
    return ip_address{bytes};
}

template <std::size_t Size>
parsed_proxy_header read_v2(std::string_view block, std::size_t size)
{
    if (block.size() < 2 * Size + 4) {
        return complaint{"PROXY version 2 whose length is too small for its addresses"};
    }
    return proxy_header{size, connection_addresses{{address_at<Size>(block, 0), number_at(block, 2 * Size)},
                                                   {address_at<Size>(block, Size), number_at(block, 2 * Size + 2)}}};
}

parsed_proxy_header parse_v2(std::string_view received)
{
    if (received.size() > v2_signature.size()) {
        const auto command = byte_at(received, v2_signature.size());
        if (command != v2_local && command != v2_proxy) {
            return complaint{"PROXY version 2 with an unknown version or command"};
        }
    }
    if (received.size() < v2_fixed) {
        return need_more{};
    }
    const bool local = byte_at(received, 12) == v2_local;
    const auto family = byte_at(received, 13);
    const std::size_t size = v2_fixed + number_at(received, 14);
    // Both halves have the values 0 (not told) to 3 or 2; nothing else is ever to be sent.
    if (!local && (family >> 4U > 3 || (family & 0xfU) > 2)) {
        return complaint{"PROXY version 2 of an unknown address family or protocol"};
    }
    if (received.size() < size) {
        return need_more{};
    }
    const auto block = received.substr(v2_fixed, size - v2_fixed);
    if (!local && family == tcp4) {
        return read_v2<4>(block, size);
    }
    if (!local && family == tcp6) {
        return read_v2<16>(block, size);
    }
    return proxy_header{size, std::nullopt};
}

void append_number(std::string& to, std::uint16_t number)
{
    to += static_cast<char>(number >> 8U);
    to += static_cast<char>(number & 0xffU);
}

void append_address(std::string& to, const ip_address& address, bool v4)
{
    const auto& bytes = address.bytes();
    to.append(bytes.begin() + (v4 ? 12 : 0), bytes.end());
}

std::string text_of(const ip_address& address, bool v4)
{
    // The two of a header are of one family.
    return (!v4 && address.is_v4() ? "::ffff:" : "") + address.to_string();
}

}  // namespace

parsed_proxy_header parse_proxy_header(std::span<const std::byte> received)
{
    const std::string_view text{reinterpret_cast<const char*>(received.data()), received.size()};
    if (agree(text, v1_begin)) {
        return text.size() < v1_begin.size() ? need_more{} : parse_v1(text);
    }
    if (agree(text, v2_signature)) {
        return parse_v2(text);
    }
    return complaint{"no PROXY header"};
}

std::string make_proxy_header(proxy_version version, const std::optional<connection_addresses>& of)
{
    const bool v4 = of && of->source.address.is_v4() && of->destination.address.is_v4();
    std::string out;
    switch (version) {
        case proxy_version::off: break;
        case proxy_version::v1:
            out = v1_begin;
            out += !of ? "UNKNOWN"
                       : (v4 ? "TCP4 " : "TCP6 ") + text_of(of->source.address, v4) + " " +
                             text_of(of->destination.address, v4) + " " + std::to_string(of->source.port) + " " +
                             std::to_string(of->destination.port);
            out += v1_end;
            break;
        case proxy_version::v2:
            out = v2_signature;
            out += static_cast<char>(of ? v2_proxy : v2_local);
            out += static_cast<char>(!of ? 0 : v4 ? tcp4 : tcp6);
            append_number(out, !of ? 0 : v4 ? 12 : 36);
            if (of) {
                append_address(out, of->source.address, v4);
                append_address(out, of->destination.address, v4);
                append_number(out, of->source.port);
                append_number(out, of->destination.port);
            }
            break;
    }
    return out;
}

}  // namespace buildkit_lb::proxy
