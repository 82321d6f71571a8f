#include "core/socket.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <catch2/catch.hpp>
#include <netinet/tcp.h>
#include <optional>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/resolve.hpp"
#include "core/task_group.hpp"
#include "support/ports.hpp"

using namespace buildkit_lb;
using namespace std::chrono_literals;
namespace asio = boost::asio;

namespace {

endpoint tcp_at(const std::string& host, std::uint16_t port)
{
    endpoint e;
    e.host = host;
    e.port = port;
    return e;
}

endpoint unix_at(const std::string& path)
{
    endpoint e;
    e.type = endpoint::kind::unix_socket;
    e.path = path;
    return e;
}

/// What connect() makes of `where`. With `cancel_after` it is cancelled that much later, as a stopping server does.
result<stream_socket> try_connect(asio::io_context& context, const endpoint& where, duration timeout,
                                  std::optional<duration> cancel_after = std::nullopt)
{
    std::optional<result<stream_socket>> outcome;
    task_group tasks{context.get_executor()};
    auto body = [&]() -> asio::awaitable<void> {
        outcome.emplace(co_await connect(context.get_executor(), where, timeout));
    };
    tasks.spawn("connect", body());
    asio::steady_timer timer{context};
    if (cancel_after) {
        timer.expires_after(*cancel_after);
        timer.async_wait([&](const boost::system::error_code&) { tasks.cancel(); });
    }
    context.restart();
    context.run();
    REQUIRE(tasks.size() == 0);
    REQUIRE(outcome.has_value());
    return std::move(*outcome);
}

}  // namespace

TEST_CASE("a listening port is connected to, with keepalive and without Nagle delay")
{
    asio::io_context context;
    asio::ip::tcp::acceptor listening{context, {asio::ip::make_address("127.0.0.1"), 0}};
    const endpoint where = tcp_at("127.0.0.1", listening.local_endpoint().port());

    const auto connected = try_connect(context, where, 5s);

    REQUIRE(connected.has_value());
    const auto option = [&](int level, int name) {
        int value = 0;
        socklen_t size = sizeof value;
        const int fd = const_cast<stream_socket&>(*connected).native_handle();
        REQUIRE(::getsockopt(fd, level, name, &value, &size) == 0);
        return value;
    };
    CHECK(option(IPPROTO_TCP, TCP_NODELAY) == 1);
    CHECK(option(SOL_SOCKET, SO_KEEPALIVE) == 1);
    CHECK(option(IPPROTO_TCP, TCP_KEEPIDLE) == 60);
    CHECK(option(IPPROTO_TCP, TCP_KEEPINTVL) == 15);
    CHECK(option(IPPROTO_TCP, TCP_KEEPCNT) == 4);
    CHECK(option(IPPROTO_TCP, TCP_USER_TIMEOUT) == 60'000);
    CHECK(to_string(connected->remote_endpoint()) == "127.0.0.1:" + std::to_string(where.port));
}

TEST_CASE("a name is looked up and each of its addresses is tried")
{
    asio::io_context context;
    // Listens on IPv4 only: where localhost is ::1 too, that address is refused first.
    asio::ip::tcp::acceptor listening{context, {asio::ip::make_address("127.0.0.1"), 0}};
    const endpoint where = tcp_at("localhost", listening.local_endpoint().port());
    REQUIRE_FALSE(numeric_address(where).has_value());

    const auto connected = try_connect(context, where, 5s);

    CHECK(connected.has_value());
}

TEST_CASE("a closed port is refused by the worker's side and may be retried elsewhere")
{
    asio::io_context context;
    const test::closed_port closed{context};
    const endpoint where = tcp_at("127.0.0.1", closed.number());

    const auto connected = try_connect(context, where, 5s);

    REQUIRE_FALSE(connected.has_value());
    CHECK(connected.error().code == errc::refused);
    CHECK(connected.error().source == failure_source::upstream);
    CHECK(connected.error().retryable);
    CHECK(connected.error().detail == where.to_string() + ": Connection refused");
}

TEST_CASE("a port that does not answer times out")
{
    asio::io_context context;
    const test::hanging_port hanging{context};

    const auto connected = try_connect(context, tcp_at("127.0.0.1", hanging.number()), 50ms);

    REQUIRE_FALSE(connected.has_value());
    CHECK(connected.error().code == errc::timed_out);
}

TEST_CASE("a cancelled connect ends at once and says canceled")
{
    asio::io_context context;
    const test::hanging_port hanging{context};
    const auto started = clock::now();

    const auto connected = try_connect(context, tcp_at("127.0.0.1", hanging.number()), 60s, 20ms);

    REQUIRE_FALSE(connected.has_value());
    CHECK(connected.error().code == errc::canceled);
    CHECK_FALSE(connected.error().retryable);
    CHECK(clock::now() - started < 30s);
}

TEST_CASE("a name that does not exist fails to resolve")
{
    asio::io_context context;

    // .invalid never resolves (RFC 2606).
    const auto connected = try_connect(context, tcp_at("nowhere.invalid", 1234), 20s);

    REQUIRE_FALSE(connected.has_value());
    CHECK(connected.error().code == errc::resolve_failed);
    CHECK(connected.error().retryable);
}

TEST_CASE("unix sockets are connected to; a missing one is unreachable, an abandoned one refused")
{
    asio::io_context context;
    const test::temporary_directory directory;
    const std::string path = directory.file("worker.sock");

    const auto missing = try_connect(context, unix_at(path), 1s);
    REQUIRE_FALSE(missing.has_value());
    CHECK(missing.error().code == errc::unreachable);

    {
        asio::local::stream_protocol::acceptor listening{context, {path}};
        const auto connected = try_connect(context, unix_at(path), 1s);
        REQUIRE(connected.has_value());
        CHECK(to_string(connected->remote_endpoint()) == path);
        CHECK(to_string(connected->local_endpoint()) == "unix");
    }

    const auto abandoned = try_connect(context, unix_at(path), 1s);
    REQUIRE_FALSE(abandoned.has_value());
    CHECK(abandoned.error().code == errc::refused);
}

TEST_CASE("a unix socket with a full backlog is waited for, then times out or is cancelled")
{
    asio::io_context context;
    const test::temporary_directory directory;
    const std::string path = directory.file("worker.sock");
    asio::local::stream_protocol::acceptor listening{context};
    listening.open({});
    listening.bind({path});
    listening.listen(0);
    const auto first = try_connect(context, unix_at(path), 1s);
    REQUIRE(first.has_value());

    const auto second = try_connect(context, unix_at(path), 50ms);
    REQUIRE_FALSE(second.has_value());
    CHECK(second.error().code == errc::timed_out);

    const auto third = try_connect(context, unix_at(path), 60s, 30ms);
    REQUIRE_FALSE(third.has_value());
    CHECK(third.error().code == errc::canceled);
}

TEST_CASE("a connect that is cancelled at any moment ends with an outcome, never with an exception")
{
    asio::io_context context;
    const test::temporary_directory directory;
    const std::string path = directory.file("worker.sock");
    asio::local::stream_protocol::acceptor listening{context};
    listening.open({});
    listening.bind({path});
    listening.listen(0);
    const auto first = try_connect(context, unix_at(path), 1s);
    REQUIRE(first.has_value());
    const test::hanging_port hanging{context};

    // The cancellation often falls together with the end of a wait for the backlog, every 10 ms.
    for (int i = 0; i < 40; ++i) {
        const auto connected = try_connect(context, unix_at(path), 60s, 9900us + i * 5us);
        REQUIRE(connected.error().code == errc::canceled);
    }
    const auto before_it_began = try_connect(context, tcp_at("127.0.0.1", hanging.number()), 60s, -1s);
    CHECK(before_it_began.error().code == errc::canceled);
    const auto while_looking_up = try_connect(context, tcp_at("localhost", hanging.number()), 60s, 0s);
    CHECK(while_looking_up.error().code == errc::canceled);
}

TEST_CASE("being out of file descriptors is our own failure, not the worker's")
{
    asio::io_context context;
    asio::ip::tcp::acceptor listening{context, {asio::ip::make_address("127.0.0.1"), 0}};
    const endpoint where = tcp_at("127.0.0.1", listening.local_endpoint().port());
    rlimit before{};
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
    // The lowest free descriptor is what the next socket would get: make it the first forbidden one.
    const int lowest_free = ::dup(0);
    REQUIRE(lowest_free >= 0);
    ::close(lowest_free);
    rlimit none = before;
    none.rlim_cur = static_cast<rlim_t>(lowest_free);
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);

    const auto connected = try_connect(context, where, 1s);
    ::setrlimit(RLIMIT_NOFILE, &before);

    REQUIRE_FALSE(connected.has_value());
    CHECK(connected.error().code == errc::too_many);
    CHECK(connected.error().source == failure_source::internal);
    CHECK_FALSE(connected.error().retryable);
}

TEST_CASE("addresses print as people write them")
{
    const auto printed = [](const endpoint& e) { return to_string(*numeric_address(e)); };
    CHECK(printed(tcp_at("10.0.0.7", 1234)) == "10.0.0.7:1234");
    CHECK(printed(tcp_at("::1", 1234)) == "[::1]:1234");
    CHECK(printed(unix_at("/run/buildkit/x.sock")) == "/run/buildkit/x.sock");
}
