#include "core/ip_address.hpp"

#include <catch2/catch.hpp>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

namespace buildkit_lb {
namespace {

ip_network network(std::string_view text)
{
    const auto read = parse_network(text);
    INFO(text);
    REQUIRE(read.has_value());
    return *read;
}

bool holds(std::string_view in, std::string_view address)
{
    return network(in).contains(*parse_ip(address));
}

TEST_CASE("an address has one form, and IPv4 is the same in an IPv6 one")
{
    CHECK(parse_ip("10.0.0.1")->to_string() == "10.0.0.1");
    CHECK(parse_ip("::ffff:10.0.0.1")->to_string() == "10.0.0.1");
    CHECK(parse_ip("::ffff:a00:1") == parse_ip("10.0.0.1"));
    CHECK(parse_ip("2001:DB8:0::1")->to_string() == "2001:db8::1");
    CHECK(parse_ip("10.0.0.1")->is_v4());
    CHECK_FALSE(parse_ip("::10.0.0.1")->is_v4());
    for (const std::string_view none :
         {"", "localhost", "10.0.0", "010.0.0.1", "10.0.0.1 ", "10.0.0.256", ":::", "1", "fe80::1%lo", "[::1]"}) {
        INFO(none);
        CHECK_FALSE(parse_ip(none));
    }
    CHECK_FALSE(parse_ip(std::string_view{"10.0.0.1\0x", 10}));
}

TEST_CASE("a network holds the addresses of its family that begin like it")
{
    CHECK(holds("10.0.0.0/8", "10.255.0.1"));
    CHECK_FALSE(holds("10.0.0.0/8", "11.0.0.0"));
    CHECK(holds("192.0.2.128/25", "192.0.2.129"));
    CHECK_FALSE(holds("192.0.2.128/25", "192.0.2.127"));
    CHECK(holds("10.1.2.3", "10.1.2.3"));
    CHECK_FALSE(holds("10.1.2.3", "10.1.2.2"));
    CHECK(holds("10.0.0.0/8", "::ffff:10.1.1.1"));
    CHECK(holds("::ffff:10.0.0.0/104", "10.1.1.1"));
    CHECK(holds("fd00::/8", "fdff::1"));
    CHECK_FALSE(holds("fd00::/8", "fe00::1"));
    CHECK(holds("::1", "::1"));
    CHECK(holds("0.0.0.0/0", "255.255.255.255"));
    CHECK_FALSE(holds("0.0.0.0/0", "::1"));
    CHECK(holds("::/0", "2001:db8::1"));
    CHECK_FALSE(holds("::/0", "10.0.0.1"));
    const std::vector<ip_network> two{network("10.0.0.0/8"), network("::1")};
    CHECK(contains(two, *parse_ip("::1")));
    CHECK_FALSE(contains(two, *parse_ip("::2")));
    CHECK_FALSE(contains({}, *parse_ip("::2")));
}

TEST_CASE("a network is written as it is read, and what is none says why")
{
    for (const std::string_view text : {"10.0.0.0/8", "0.0.0.0/0", "10.1.2.3", "fd00::/8", "::/0", "::1"}) {
        CHECK(network(text).to_string() == text);
    }
    CHECK(network("10.1.2.3/32").to_string() == "10.1.2.3");
    const std::pair<std::string_view, std::string_view> bad[] = {
        {"", "is not an IP address or network"},
        {"10.0.0.0/", "has no prefix from 0 to 32"},
        {"10.0.0.0/33", "has no prefix from 0 to 32"},
        {"10.0.0.0/-1", "has no prefix from 0 to 32"},
        {"10.0.0.0/8x", "has no prefix from 0 to 32"},
        {"10.0.0.0/255.0.0.0", "has no prefix from 0 to 32"},
        {"::/129", "has no prefix from 0 to 128"},
        {"10.0.0.1/31", "has bits behind its prefix: write 10.0.0.0/31"},
        {"fd00::1/64", "has bits behind its prefix: write fd00::/64"},
        {"::ffff:0:0/95", "mixes IPv4 and IPv6: write two networks"},
    };
    for (const auto& [text, why] : bad) {
        INFO(text);
        const auto read = parse_network(text);
        REQUIRE_FALSE(read.has_value());
        CHECK(read.error().text == why);
    }
}

TEST_CASE("the address of a socket is read, and a unix socket has none")
{
    sockaddr_storage any{};
    auto& v4 = reinterpret_cast<sockaddr_in&>(any);
    v4.sin_family = AF_INET;
    v4.sin_port = htons(1234);
    v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(ip_endpoint_of(reinterpret_cast<sockaddr&>(any)) == ip_endpoint{*parse_ip("127.0.0.1"), 1234});

    any = {};
    auto& v6 = reinterpret_cast<sockaddr_in6&>(any);
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(1);
    v6.sin6_addr = in6addr_loopback;
    CHECK(ip_endpoint_of(reinterpret_cast<sockaddr&>(any)) == ip_endpoint{*parse_ip("::1"), 1});

    any = {};
    any.ss_family = AF_UNIX;
    CHECK_FALSE(ip_endpoint_of(reinterpret_cast<sockaddr&>(any)));
}

}  // namespace
}  // namespace buildkit_lb
