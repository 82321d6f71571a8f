#include "proxy/proxy_header.hpp"

#include <catch2/catch.hpp>

namespace buildkit_lb::proxy {
namespace {

using namespace std::string_literals;

parsed_proxy_header parse(std::string_view bytes)
{
    return parse_proxy_header(std::as_bytes(std::span{bytes}));
}

/// What is wrong; `more` and `fine` where nothing is.
std::string verdict(std::string_view bytes)
{
    const auto parsed = parse(bytes);
    if (const auto* wrong = std::get_if<complaint>(&parsed)) {
        return wrong->text;
    }
    return std::holds_alternative<need_more>(parsed) ? "more" : "fine";
}

proxy_header header_of(std::string_view bytes)
{
    const auto parsed = parse(bytes);
    REQUIRE(std::holds_alternative<proxy_header>(parsed));
    return std::get<proxy_header>(parsed);
}

connection_addresses between(std::string_view source, std::uint16_t source_port, std::string_view destination,
                             std::uint16_t destination_port)
{
    return {{*parse_ip(source), source_port}, {*parse_ip(destination), destination_port}};
}

const std::string signature = "\r\n\r\n\0\r\nQUIT\n"s;

/// Version 2, with a length that is right.
std::string v2(char command, char family, const std::string& block)
{
    return signature + command + family + static_cast<char>(block.size() >> 8U) +
           static_cast<char>(block.size() & 0xffU) + block;
}

const std::string v4_block = "\x0a\0\0\x01\x0a\0\0\x02\x04\xd2\0\x50"s;

TEST_CASE("version 1 tells the addresses of both ends")
{
    const auto v4 = header_of("PROXY TCP4 10.0.0.1 10.0.0.2 65535 80\r\nPRI *");
    CHECK(v4.size == 39);
    CHECK(v4.addresses == between("10.0.0.1", 65535, "10.0.0.2", 80));
    CHECK(header_of("PROXY TCP6 2001:db8::1 ::1 0 443\r\n").addresses == between("2001:db8::1", 0, "::1", 443));
    CHECK(header_of("PROXY TCP6 ::ffff:10.0.0.1 ::1 1 2\r\n").addresses == between("10.0.0.1", 1, "::1", 2));
    const auto longest =
        "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe "
        "65535 65535\r\n"s;
    CHECK(header_of(longest).size == longest.size());
}

TEST_CASE("version 1 of an unknown origin tells nothing, whatever follows the word")
{
    for (const std::string text :
         {"PROXY UNKNOWN\r\n", "PROXY UNKNOWN ffff::1 x 1 \r\n", "PROXY UNKNOWN 10.0.0.1 10.0.0.2 1 2\r\n"}) {
        const auto header = header_of(text);
        CHECK(header.size == text.size());
        CHECK_FALSE(header.addresses);
    }
}

TEST_CASE("version 1 that is not written as specified is refused")
{
    const std::string not_four = "PROXY version 1 without exactly two addresses and two ports";
    const std::string unreadable = "PROXY version 1 with an address or a port that can't be read";
    const std::string protocol = "PROXY version 1 of a protocol that is none of TCP4, TCP6 and UNKNOWN";
    const std::pair<std::string_view, std::string> bad[] = {
        {"PROXY \r\n", protocol},
        {"PROXY TCP5 10.0.0.1 10.0.0.2 1 2\r\n", protocol},
        {"PROXY UNKNOWNS\r\n", protocol},
        {"PROXY  TCP4 10.0.0.1 10.0.0.2 1 2\r\n", protocol},
        {"PROXY TCP4\r\n", not_four},
        {"PROXY TCP4 10.0.0.1 10.0.0.2 1\r\n", not_four},
        {"PROXY TCP4 10.0.0.1 10.0.0.2 1 2 3\r\n", not_four},
        {"PROXY TCP4 10.0.0.1 10.0.0.2 1 2 \r\n", not_four},
        {"PROXY TCP4 10.0.0.1  10.0.0.2 1 2\r\n", not_four},
        {"PROXY TCP4 ::1 ::1 1 2\r\n", unreadable},
        {"PROXY TCP6 10.0.0.1 10.0.0.2 1 2\r\n", unreadable},
        {"PROXY TCP4 10.0.0.01 10.0.0.2 1 2\r\n", unreadable},
        {"PROXY TCP4 10.0.0.1 10.0.0.2 65536 2\r\n", unreadable},
        {"PROXY TCP4 10.0.0.1 10.0.0.2 01 2\r\n", unreadable},
        {"PROXY TCP4 10.0.0.1 10.0.0.2 -1 2\r\n", unreadable},
        {"PROXY TCP4 10.0.0.1 host 1 2\r\n", unreadable},
    };
    for (const auto& [text, why] : bad) {
        INFO(text);
        CHECK(verdict(text) == why);
    }
    CHECK(verdict("PROXY UNKNOWN " + std::string(91, 'x') + "\r\n") == "fine");
    CHECK(verdict("PROXY UNKNOWN " + std::string(92, 'x') + "\r\n") == "PROXY version 1 of more than 107 bytes");
}

TEST_CASE("version 2 tells the addresses of both ends, and what follows them is skipped")
{
    const auto plain = v2('\x21', '\x11', v4_block);
    CHECK(header_of(plain + "more").size == 28);
    CHECK(header_of(plain).addresses == between("10.0.0.1", 1234, "10.0.0.2", 80));
    const auto extended = v2('\x21', '\x11',
                             v4_block +
                                 "\x03\0\x04"
                                 "abcd" +
                                 std::string(60'000, 'x'));
    CHECK(header_of(extended).size == extended.size());
    CHECK(header_of(extended).addresses == between("10.0.0.1", 1234, "10.0.0.2", 80));
    const std::string v6 =
        "\x20\x01\x0d\xb8"s + std::string(11, '\0') + "\x01" + std::string(15, '\0') + "\x01\0\x01\0\x02"s;
    CHECK(header_of(v2('\x21', '\x21', v6)).addresses == between("2001:db8::1", 1, "::1", 2));
}

TEST_CASE("version 2 of the proxy's own connection, or of no IP address, tells nothing")
{
    CHECK_FALSE(header_of(v2('\x20', '\0', "")).addresses);
    CHECK_FALSE(header_of(v2('\x20', '\x11', v4_block)).addresses);
    CHECK_FALSE(header_of(v2('\x20', '\x7f', "xyz")).addresses);  // of LOCAL the family is ignored
    CHECK_FALSE(header_of(v2('\x21', '\0', "xyz")).addresses);
    CHECK_FALSE(header_of(v2('\x21', '\x31', std::string(216, 'x'))).addresses);
    CHECK_FALSE(header_of(v2('\x21', '\x12', v4_block)).addresses);
}

TEST_CASE("version 2 that is not as specified is refused")
{
    const std::string command = "PROXY version 2 with an unknown version or command";
    const std::string family = "PROXY version 2 of an unknown address family or protocol";
    const std::string length = "PROXY version 2 whose length is too small for its addresses";
    CHECK(verdict(v2('\x22', '\x11', v4_block)) == command);
    CHECK(verdict(v2('\x11', '\x11', v4_block)) == command);
    CHECK(verdict(signature + "\x31") == command);
    CHECK(verdict(v2('\x21', '\x13', v4_block)) == family);
    CHECK(verdict(v2('\x21', '\x41', v4_block)) == family);
    CHECK(verdict(v2('\x21', '\x11', v4_block.substr(1))) == length);
    CHECK(verdict(v2('\x21', '\x21', std::string(35, 'x'))) == length);
    CHECK(verdict(v2('\x21', '\x11', "")) == length);
}

TEST_CASE("a header that comes byte by byte is waited for, and anything else is not")
{
    for (const std::string& whole : {"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n"s, v2('\x21', '\x11', v4_block)}) {
        for (std::size_t n = 0; n < whole.size(); ++n) {
            INFO(n);
            CHECK(verdict(std::string_view{whole}.substr(0, n)) == "more");
        }
        CHECK(verdict(whole) == "fine");
    }
    for (const std::string_view other :
         {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\x16\x03\x01", "G", "PROXX", "\r\n\r\nX", "\r\r"}) {
        CHECK(verdict(other) == "no PROXY header");
    }
}

TEST_CASE("what is sent to workers can be read again")
{
    const auto v4 = between("10.0.0.1", 1234, "10.0.0.2", 80);
    CHECK(make_proxy_header(proxy_version::v1, v4) == "PROXY TCP4 10.0.0.1 10.0.0.2 1234 80\r\n");
    CHECK(make_proxy_header(proxy_version::v2, v4) == v2('\x21', '\x11', v4_block));
    CHECK(make_proxy_header(proxy_version::v1, std::nullopt) == "PROXY UNKNOWN\r\n");
    CHECK(make_proxy_header(proxy_version::v2, std::nullopt) == v2('\x20', '\0', ""));
    CHECK(make_proxy_header(proxy_version::off, v4).empty());
    for (const auto& of : {v4, between("2001:db8::1", 1, "::1", 65535), between("10.0.0.1", 1, "::1", 2)}) {
        for (const auto version : {proxy_version::v1, proxy_version::v2}) {
            const auto text = make_proxy_header(version, of);
            CHECK(header_of(text).size == text.size());
            CHECK(header_of(text).addresses == of);
        }
    }
}

}  // namespace
}  // namespace buildkit_lb::proxy
