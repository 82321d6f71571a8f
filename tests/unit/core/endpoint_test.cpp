#include "core/endpoint.hpp"

#include <catch2/catch.hpp>

namespace buildkit_lb {
namespace {

TEST_CASE("an endpoint is read from its URL form and written back the same")
{
    struct {
        std::string_view text;
        std::string_view host;
        std::uint16_t port;
    } const tcp[] = {
        {"tcp://127.0.0.1:1234", "127.0.0.1", 1234},
        {"tcp://0.0.0.0:0", "0.0.0.0", 0},
        {"tcp://buildkitd:65535", "buildkitd", 65535},
        {"tcp://b-1.example.test:1", "b-1.example.test", 1},
        {"tcp://[::1]:1234", "::1", 1234},
        {"tcp://[2001:db8::1]:80", "2001:db8::1", 80},
    };
    for (const auto& t : tcp) {
        INFO(t.text);
        const auto parsed = parse_endpoint(t.text);
        REQUIRE(parsed.has_value());
        CHECK(parsed->type == endpoint::kind::tcp);
        CHECK(parsed->host == t.host);
        CHECK(parsed->port == t.port);
        CHECK(parsed->path.empty());
        CHECK(parsed->to_string() == t.text);
    }
    const auto socket = parse_endpoint("unix:///run/buildkit-lb.sock");
    REQUIRE(socket.has_value());
    CHECK(socket->type == endpoint::kind::unix_socket);
    CHECK(socket->path == "/run/buildkit-lb.sock");
    CHECK(socket->to_string() == "unix:///run/buildkit-lb.sock");
}

TEST_CASE("what is no endpoint says what would be right")
{
    const std::pair<std::string_view, std::string_view> bad[] = {
        {"", "an address is written tcp://HOST:PORT or unix:///PATH"},
        {"127.0.0.1:1234", "an address is written tcp://HOST:PORT or unix:///PATH"},
        {"http://127.0.0.1:1234", "an address is written tcp://HOST:PORT or unix:///PATH"},
        {"TCP://127.0.0.1:1234", "an address is written tcp://HOST:PORT or unix:///PATH"},
        {"tcp://127.0.0.1", "the port is missing: write tcp://HOST:PORT"},
        {"tcp://:1234", "the host is missing: write tcp://HOST:PORT (0.0.0.0 for every address)"},
        {"tcp://[]:1234", "the host is missing: write tcp://HOST:PORT (0.0.0.0 for every address)"},
        {"tcp://a:", "'' is not a port: a number from 0 to 65535"},
        {"tcp://a:x", "'x' is not a port: a number from 0 to 65535"},
        {"tcp://a:-1", "'-1' is not a port: a number from 0 to 65535"},
        {"tcp://a:65536", "'65536' is not a port: a number from 0 to 65535"},
        {"tcp://a:1/", "'1/' is not a port: a number from 0 to 65535"},
        {"tcp://a:99999999999999", "'99999999999999' is not a port: a number from 0 to 65535"},
        {"tcp://::1:1234", "an IPv6 address is written tcp://[ADDRESS]:PORT"},
        {"tcp://[::1]", "an IPv6 address is written tcp://[ADDRESS]:PORT"},
        {"tcp://[::1:1234", "an IPv6 address is written tcp://[ADDRESS]:PORT"},
        {"unix://relative", "a unix socket is written unix:///ABSOLUTE/PATH"},
        {"unix://", "a unix socket is written unix:///ABSOLUTE/PATH"},
        {"unix:/run/a", "an address is written tcp://HOST:PORT or unix:///PATH"},
    };
    for (const auto& [text, why] : bad) {
        INFO(text);
        const auto parsed = parse_endpoint(text);
        REQUIRE_FALSE(parsed.has_value());
        CHECK(parsed.error().text == why);
    }
}

TEST_CASE("the path of a unix socket must fit the system's limit")
{
    CHECK(parse_endpoint("unix://" + std::string(107, '/')).has_value());
    CHECK_FALSE(parse_endpoint("unix://" + std::string(108, '/')).has_value());
}

TEST_CASE("loopback is what only this machine can reach")
{
    for (const std::string_view text :
         {"tcp://127.0.0.1:1", "tcp://127.8.9.10:1", "tcp://localhost:1", "tcp://[::1]:1", "unix:///a"}) {
        INFO(text);
        CHECK(parse_endpoint(text)->is_loopback());
    }
    for (const std::string_view text :
         {"tcp://0.0.0.0:1", "tcp://[::]:1", "tcp://10.0.0.1:1", "tcp://example.test:1", "tcp://128.0.0.1:1",
          "tcp://localhost.example.test:1", "tcp://127.evil.example:1"}) {
        INFO(text);
        CHECK_FALSE(parse_endpoint(text)->is_loopback());
    }
}

TEST_CASE("endpoints are equal when all of them is")
{
    CHECK(*parse_endpoint("tcp://a:1") == *parse_endpoint("tcp://a:1"));
    CHECK(*parse_endpoint("tcp://a:1") != *parse_endpoint("tcp://a:2"));
    CHECK(*parse_endpoint("tcp://a:1") != *parse_endpoint("tcp://b:1"));
    CHECK(*parse_endpoint("unix:///a") != *parse_endpoint("unix:///b"));
}

}  // namespace
}  // namespace buildkit_lb
