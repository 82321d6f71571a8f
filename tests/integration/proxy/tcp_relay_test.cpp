#include <boost/asio/io_context.hpp>
#include <catch2/catch.hpp>
#include <fstream>
#include <future>

#include "support/balancer.hpp"
#include "support/ports.hpp"

using namespace buildkit_lb;
using namespace buildkit_lb::test;
using namespace std::chrono_literals;
using ending = peer::ending;

namespace {

// What a relay may keep of one direction beyond the kernel's buffers (tcp_relay.hpp).
constexpr std::size_t relay_buffer = 256 * 1024;

/// A listener in front of one worker, and one connection through it. The peers are the test's to play.
struct one_connection {
    explicit one_connection(balancer_settings settings = {}) : one_connection{tcp_at("127.0.0.1"), std::move(settings)}
    {
    }
    explicit one_connection(const endpoint& worker_address, balancer_settings settings = {})
        : port{worker_address}, lb{with_worker(std::move(settings), port)}, client{lb.connect()}, worker{port.accept()}
    {
        REQUIRE(client.connected());
        REQUIRE(worker.connected());
    }

    static balancer_settings with_worker(balancer_settings settings, const worker_port& port)
    {
        settings.workers = {port.address()};
        return settings;
    }

    worker_port port;
    balancer_under_test lb;
    peer client;
    peer worker;
};

/// The `index`-th number of a file in /proc/sys.
std::size_t kernel_number(const char* file, int index)
{
    std::ifstream from{file};
    std::size_t number = 0;
    for (int i = 0; i <= index; ++i) {
        from >> number;
    }
    return number;
}

}  // namespace

TEST_CASE("bytes pass both ways and are counted")
{
    one_connection c;

    REQUIRE(c.client.send("question"));
    CHECK(c.worker.receive(8) == "question");
    REQUIRE(c.worker.send("answer"));
    CHECK(c.client.receive(6) == "answer");

    CHECK(c.lb.connections() == 1);
    CHECK(c.lb.accepted() == 1);
    CHECK(c.lb.leases() == 1);
    c.client.close();
    CHECK(c.worker.wait_for_end() == ending::closed);
    c.worker.close();
    CHECK(eventually([&] { return c.lb.idle(); }));
    const auto page = c.lb.metrics().expose();
    CHECK_THAT(page, Catch::Contains("buildkit_lb_bytes_total{direction=\"received\",listener=\"test\"} 8\n"));
    CHECK_THAT(page, Catch::Contains("buildkit_lb_bytes_total{direction=\"sent\",listener=\"test\"} 6\n"));
}

TEST_CASE("a client's half-close reaches the worker, whose answer still comes")
{
    one_connection c;

    REQUIRE(c.client.send("all of it"));
    c.client.half_close();
    CHECK(c.worker.receive(100) == "all of it");
    CHECK(c.worker.wait_for_end() == ending::closed);
    CHECK(c.client.silent());
    REQUIRE(c.worker.send("the answer"));
    CHECK(c.client.receive(10) == "the answer");
    CHECK(c.lb.leases() == 1);

    c.worker.close();
    CHECK(c.client.wait_for_end() == ending::closed);
    CHECK(eventually([&] { return c.lb.idle(); }));
}

TEST_CASE("a worker's half-close reaches the client, whose bytes still go")
{
    one_connection c;

    REQUIRE(c.worker.send("bye"));
    c.worker.half_close();
    CHECK(c.client.receive(100) == "bye");
    CHECK(c.client.wait_for_end() == ending::closed);
    CHECK(c.worker.silent());
    REQUIRE(c.client.send("more"));
    CHECK(c.worker.receive(4) == "more");

    c.client.close();
    CHECK(c.worker.wait_for_end() == ending::closed);
    CHECK(eventually([&] { return c.lb.idle(); }));
}

TEST_CASE("a reset is relayed as a reset, both ways")
{
    one_connection c;
    REQUIRE(c.client.send("x"));
    REQUIRE(c.worker.receive(1) == "x");

    SECTION("by the client")
    {
        c.client.reset();
        CHECK(c.worker.wait_for_end() == ending::reset);
    }
    SECTION("by the worker")
    {
        c.worker.reset();
        CHECK(c.client.wait_for_end() == ending::reset);
    }
    SECTION("by the client after it has said everything")
    {
        c.client.half_close();
        REQUIRE(c.worker.wait_for_end() == ending::closed);
        c.client.reset();
        CHECK(c.worker.wait_for_reset_without_reading());
    }
    SECTION("by the worker after it has said everything")
    {
        c.worker.half_close();
        REQUIRE(c.client.wait_for_end() == ending::closed);
        c.worker.reset();
        CHECK(c.client.wait_for_reset_without_reading());
    }
    CHECK(eventually([&] { return c.lb.idle(); }));
}

TEST_CASE("a client that resets while its worker does not read is not kept")
{
    one_connection c;
    REQUIRE(c.client.send_until_stuck(64 << 20) > 0);

    c.client.reset();

    CHECK(eventually([&] { return c.lb.idle(); }, 5s));
    CHECK(c.worker.wait_for_reset_without_reading());
}

TEST_CASE("a worker that resets while its client does not read is not kept")
{
    one_connection c;
    REQUIRE(c.worker.send_until_stuck(64 << 20) > 0);

    c.worker.reset();

    CHECK(eventually([&] { return c.lb.idle(); }, 5s));
    CHECK(c.client.wait_for_reset_without_reading());
}

TEST_CASE("a reader that is slow holds its sender back, and gets every byte in the end")
{
    const temporary_directory directory;
    SECTION("over unix sockets, whose buffers do not grow")
    {
        balancer_settings settings;
        settings.address = unix_at(directory.file("lb.sock"));
        one_connection c{unix_at(directory.file("worker.sock")), settings};
        const std::size_t kernel = 2 * kernel_number("/proc/sys/net/core/wmem_default", 0);

        SECTION("the worker reads slowly")
        {
            const std::size_t sent = c.client.send_until_stuck(64 << 20);
            CHECK(sent > 0);
            CHECK(sent <= kernel + relay_buffer);
            CHECK(c.worker.drain(sent) == sent);
        }
        SECTION("the client reads slowly")
        {
            const std::size_t sent = c.worker.send_until_stuck(64 << 20);
            CHECK(sent > 0);
            CHECK(sent <= kernel + relay_buffer);
            CHECK(c.client.drain(sent) == sent);
        }
    }
    SECTION("over TCP")
    {
        one_connection c;
        const std::size_t kernel =
            2 * (kernel_number("/proc/sys/net/ipv4/tcp_rmem", 2) + kernel_number("/proc/sys/net/ipv4/tcp_wmem", 2));

        const std::size_t sent = c.client.send_until_stuck(256 << 20);

        CHECK(sent > relay_buffer);
        CHECK(sent <= kernel + relay_buffer);
        CHECK(c.worker.drain(sent) == sent);
        // The other direction is not touched by it.
        REQUIRE(c.worker.send("still here"));
        CHECK(c.client.receive(10) == "still here");
    }
}

TEST_CASE("a slow reader does not hold other connections of its thread back")
{
    balancer_settings settings;
    settings.threads = 1;
    one_connection c{settings};
    REQUIRE(c.client.send_until_stuck(64 << 20) > 0);

    auto other_client = c.lb.connect();
    auto other_worker = c.port.accept();
    REQUIRE(other_client.send("quick"));

    CHECK(other_worker.receive(5) == "quick");
}

TEST_CASE("bytes keep their order and value when both directions are full")
{
    one_connection c;
    constexpr std::size_t size = 8 << 20;
    std::string up(size, '\0');
    std::string down(size, '\0');
    for (std::size_t i = 0; i < size; ++i) {
        up[i] = static_cast<char>(i * 2654435761U >> 13);
        down[i] = static_cast<char>(i * 40503U >> 5);
    }

    auto sent_up = std::async(std::launch::async, [&] { return c.client.send(up); });
    auto sent_down = std::async(std::launch::async, [&] { return c.worker.send(down); });
    auto received_up = std::async(std::launch::async, [&] { return c.worker.receive(size); });
    const bool down_same = c.client.receive(size) == down;

    CHECK(down_same);
    CHECK(received_up.get() == up);
    CHECK(sent_up.get());
    CHECK(sent_down.get());
}

TEST_CASE("whoever sends and closes at once has all of it delivered")
{
    const temporary_directory directory;
    const bool over_unix = GENERATE(false, true);
    CAPTURE(over_unix);
    balancer_settings settings;
    settings.address = over_unix ? unix_at(directory.file("lb.sock")) : tcp_at("127.0.0.1");
    one_connection c{over_unix ? unix_at(directory.file("worker.sock")) : tcp_at("127.0.0.1"), settings};
    const std::string all(150'000, 'z');

    SECTION("the client")
    {
        REQUIRE(c.client.send(all));
        c.client.close();
        CHECK(c.worker.receive(all.size()).size() == all.size());
    }
    SECTION("the worker")
    {
        REQUIRE(c.worker.send(all));
        c.worker.close();
        CHECK(c.client.receive(all.size()).size() == all.size());
    }
}

TEST_CASE("what a unix client leaves behind reaches a worker on TCP, and the other way round")
{
    const temporary_directory directory;
    const std::string all(150'000, 'z');
    balancer_settings settings;
    SECTION("a client on a unix socket")
    {
        settings.address = unix_at(directory.file("lb.sock"));
        one_connection c{settings};
        REQUIRE(c.client.send(all));
        c.client.close();
        CHECK(c.worker.receive(all.size()).size() == all.size());
    }
    SECTION("a worker on a unix socket")
    {
        one_connection c{unix_at(directory.file("worker.sock")), settings};
        REQUIRE(c.worker.send(all));
        c.worker.close();
        CHECK(c.client.receive(all.size()).size() == all.size());
    }
}

TEST_CASE("idle_timeout counts silence on both sides, never duration")
{
    balancer_settings settings;
    settings.idle_timeout = 1s;
    one_connection c{settings};
    const auto begun = clock::now();

    // Longer than idle_timeout and the second in which it is looked at, with bytes in one direction only.
    for (int i = 0; clock::now() - begun < 3s; ++i) {
        peer& from = i % 8 < 4 ? c.client : c.worker;
        peer& to = i % 8 < 4 ? c.worker : c.client;
        REQUIRE(from.send("."));
        REQUIRE(to.receive(1) == ".");
        REQUIRE(c.client.silent(200ms));
    }

    const auto silent_since = clock::now();
    CHECK(c.client.wait_for_end() == ending::closed);
    CHECK(clock::now() - silent_since > 700ms);
    CHECK(c.worker.wait_for_end() == ending::closed);
    CHECK(eventually([&] { return c.lb.idle(); }));
}
