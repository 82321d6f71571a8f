#include "core/passed_sockets.hpp"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <catch2/catch.hpp>

using namespace buildkit_lb;
namespace asio = boost::asio;

namespace {

socket_address tcp_address(const char* host, std::uint16_t port)
{
    return asio::ip::tcp::endpoint{asio::ip::make_address(host), port};
}

socket_address unix_address(const char* path)
{
    return asio::local::stream_protocol::endpoint{path};
}

}  // namespace

TEST_CASE("the environment says how many sockets were passed and what they are called")
{
    using names = std::vector<std::string>;
    CHECK(read_listen_environment("77", "2", "builds:admin", 77).value() == names{"builds", "admin"});
    CHECK(read_listen_environment("77", "3", "builds", 77).value() == names{"builds", "", ""});
    CHECK(read_listen_environment("77", "1", "", 77).value() == names{""});
    CHECK(read_listen_environment("77", "0", "", 77).value().empty());
    CHECK(read_listen_environment("", "", "", 77).value().empty());
    // A shell in between: they were for our parent.
    CHECK(read_listen_environment("76", "2", "a:b", 77).value().empty());
}

TEST_CASE("a broken environment of passed sockets is a complaint that quotes it")
{
    const auto complaint_of = [](const char* pid, const char* count) {
        const auto read = read_listen_environment(pid, count, "", 77);
        return read.has_value() ? "none" : read.error().text;
    };
    CHECK(complaint_of("77", "two") == "LISTEN_PID=77 and LISTEN_FDS=two are no process and no number of sockets");
    CHECK(complaint_of("", "2") != "none");
    CHECK(complaint_of("77", "") != "none");
    CHECK(complaint_of("77", "-1") != "none");
    CHECK(complaint_of("77", "99999999") != "none");
    CHECK(complaint_of("77x", "1") != "none");
}

TEST_CASE("a socket serves its own address, and the dual-stack wildcard that of IPv4 too")
{
    CHECK(takes_connections_to(tcp_address("127.0.0.1", 1234), false, tcp_address("127.0.0.1", 1234)));
    CHECK_FALSE(takes_connections_to(tcp_address("127.0.0.1", 1234), false, tcp_address("127.0.0.1", 1235)));
    CHECK_FALSE(takes_connections_to(tcp_address("0.0.0.0", 1234), false, tcp_address("127.0.0.1", 1234)));
    CHECK(takes_connections_to(tcp_address("::", 1234), true, tcp_address("0.0.0.0", 1234)));
    CHECK_FALSE(takes_connections_to(tcp_address("::", 1234), false, tcp_address("0.0.0.0", 1234)));
    CHECK(takes_connections_to(tcp_address("::", 1234), false, tcp_address("::", 1234)));
    CHECK(takes_connections_to(unix_address("/run/lb.sock"), false, unix_address("/run/lb.sock")));
    CHECK_FALSE(takes_connections_to(unix_address("/run/lb.sock"), false, unix_address("/run/lb")));
}
