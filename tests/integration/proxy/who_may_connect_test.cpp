#include <catch2/catch.hpp>

#include "support/balancer.hpp"
#include "support/ports.hpp"

using namespace buildkit_lb;
using namespace buildkit_lb::test;
using namespace std::chrono_literals;
using namespace std::string_literals;
using ending = peer::ending;

namespace {

const std::string told = "PROXY TCP4 192.0.2.1 192.0.2.2 1111 2222\r\n";
const std::string signature = "\r\n\r\n\0\r\nQUIT\n"s;

std::vector<ip_network> networks(std::string_view one)
{
    return {parse_network(one).value()};
}

balancer_settings before(const worker_port& worker)
{
    balancer_settings settings;
    settings.workers = {worker.address()};
    return settings;
}

/// A listener behind a proxy on this machine.
balancer_settings behind_a_proxy(const worker_port& worker)
{
    auto settings = before(worker);
    settings.proxy_protocol = true;
    settings.proxy_from = networks("127.0.0.0/8");
    return settings;
}

double refused(const balancer_under_test& lb, const std::string& kind)
{
    const std::string page = lb.metrics().expose();
    const auto at = page.find("buildkit_lb_protocol_errors_total{kind=\"" + kind + "\",listener=\"test\"} ");
    return at == page.npos ? 0 : std::stod(page.substr(page.find("} ", at) + 2));
}

/// It was closed, with a reset or without, and counted.
bool turned_away(peer& client, const balancer_under_test& lb, const std::string& kind)
{
    return client.wait_for_end() != ending::none && eventually([&] { return refused(lb, kind) == 1; });
}

}  // namespace

TEST_CASE("clients of other networks are closed at once, and no worker hears of them")
{
    worker_port worker;
    auto settings = before(worker);
    settings.allow_from = networks("10.0.0.0/8");
    balancer_under_test lb{settings};

    auto client = lb.connect();

    CHECK(turned_away(client, lb, "not_allowed"));
    CHECK_FALSE(worker.accept(moment).connected());
    CHECK(eventually([&] { return lb.idle(); }));
}

TEST_CASE("clients of a network that may come are served, and those of a unix socket always")
{
    worker_port worker;
    auto settings = before(worker);
    settings.allow_from = networks("127.0.0.0/8");
    SECTION("tcp") {}
    const temporary_directory directory;
    SECTION("unix")
    {
        settings.allow_from = networks("10.0.0.0/8");
        settings.address = unix_at(directory.file("lb.sock"));
    }
    balancer_under_test lb{settings};

    auto client = lb.connect();
    REQUIRE(client.send("?"));

    CHECK(worker.accept().receive(1) == "?");
}

TEST_CASE("what follows a PROXY header is the client's, however the bytes come")
{
    worker_port worker;
    auto settings = behind_a_proxy(worker);
    settings.allow_from = networks("192.0.2.1");
    balancer_under_test lb{settings};
    auto client = lb.connect();

    SECTION("all at once")
    {
        REQUIRE(client.send(told + "PROXY of its own"));
    }
    SECTION("byte by byte")
    {
        for (const char c : told + "PROXY of its own") {
            REQUIRE(client.send({&c, 1}));
        }
    }
    SECTION("a long one of version 2")
    {
        const std::string block = "\xc0\0\x02\x01\xc0\0\x02\x02\0\x01\0\x02"s + std::string(20'000, 't');
        REQUIRE(client.send(signature + "\x21\x11" + static_cast<char>(block.size() >> 8U) +
                            static_cast<char>(block.size() & 0xffU) + block));
        REQUIRE(client.send("PROXY of its own"));
    }

    CHECK(worker.accept().receive(16) == "PROXY of its own");
}

TEST_CASE("the address that a PROXY header tells decides who may come")
{
    worker_port worker;
    auto settings = behind_a_proxy(worker);
    settings.allow_from = networks("192.0.2.7");
    balancer_under_test lb{settings};
    auto client = lb.connect();

    REQUIRE(client.send(told));

    CHECK(turned_away(client, lb, "not_allowed"));
}

TEST_CASE("a connection of the proxy's own has the proxy's address")
{
    worker_port worker;
    auto settings = behind_a_proxy(worker);
    settings.allow_from = networks("127.0.0.1");
    balancer_under_test lb{settings};
    auto client = lb.connect();

    REQUIRE(client.send(signature + "\x20\0\0\0?"s));

    CHECK(worker.accept().receive(1) == "?");
}

TEST_CASE("whoever may not send a PROXY header is closed before it is read")
{
    worker_port worker;
    auto settings = behind_a_proxy(worker);
    settings.proxy_from = networks("10.0.0.0/8");
    balancer_under_test lb{settings};
    auto client = lb.connect();

    CHECK(turned_away(client, lb, "not_allowed"));
}

TEST_CASE("something else than a PROXY header is closed at its first wrong byte")
{
    worker_port worker;
    balancer_under_test lb{behind_a_proxy(worker)};
    auto client = lb.connect();

    REQUIRE(client.send("PRI"));

    CHECK(turned_away(client, lb, "proxy_header"));
}

TEST_CASE("a PROXY header that does not come in time is not waited for")
{
    worker_port worker;
    auto settings = behind_a_proxy(worker);
    settings.handshake_timeout = 100ms;
    balancer_under_test lb{settings};
    auto client = lb.connect();

    REQUIRE(client.send("PROXY TCP4"));

    CHECK(turned_away(client, lb, "handshake_timeout"));
}

TEST_CASE("who connects and leaves without a word, as health checks do, is no error")
{
    worker_port worker;
    balancer_under_test lb{behind_a_proxy(worker)};
    {
        auto client = lb.connect();
        client.half_close();
        CHECK(client.wait_for_end() == ending::closed);
    }
    CHECK(eventually([&] { return lb.idle(); }));
    CHECK(refused(lb, "proxy_header") == 0);
    CHECK_FALSE(worker.accept(moment).connected());
}

TEST_CASE("workers are told the client's address before anything else")
{
    worker_port worker;
    auto settings = before(worker);
    settings.send_proxy = proxy::proxy_version::v1;

    SECTION("that of the socket")
    {
        balancer_under_test lb{settings};
        auto client = lb.connect();
        REQUIRE(client.send("?"));
        auto served = worker.accept();
        CHECK(served.receive(31) == "PROXY TCP4 127.0.0.1 127.0.0.1 ");
        const auto port = std::to_string(lb.address().port);
        std::string rest;
        while (!rest.ends_with('?') && rest.size() < 40) {
            rest += served.receive(1);
        }
        CHECK(rest.ends_with(" " + port + "\r\n?"));
    }
    SECTION("the one that a proxy in front told")
    {
        settings.proxy_protocol = true;
        settings.proxy_from = networks("127.0.0.1");
        balancer_under_test lb{settings};
        auto client = lb.connect();
        REQUIRE(client.send(told + "?"));
        CHECK(worker.accept().receive(told.size() + 1) == told + "?");
    }
    SECTION("that there is none, for a unix socket")
    {
        const temporary_directory directory;
        settings.address = unix_at(directory.file("lb.sock"));
        balancer_under_test lb{settings};
        auto client = lb.connect();
        REQUIRE(client.send("?"));
        CHECK(worker.accept().receive(16) == "PROXY UNKNOWN\r\n?");
    }
}
