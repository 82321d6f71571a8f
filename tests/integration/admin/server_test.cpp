#include <atomic>
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <thread>
#include <unistd.h>

#include "admin/running_server.hpp"
#include "support/ports.hpp"

using namespace buildkit_lb;
using namespace std::chrono_literals;
using namespace buildkit_lb::test;
namespace asio = boost::asio;

TEST_CASE("metrics are served in the text format")
{
    running_server server;
    server.instruments.for_listener("builds").received(5);
    const auto answer = server.connect().get("/metrics");
    CHECK(answer.status == 200);
    CHECK(answer.headers.at("content-type") == "text/plain; version=0.0.4; charset=utf-8");
    CHECK_THAT(answer.body, Catch::Contains(R"(buildkit_lb_bytes_total{direction="received",listener="builds"} 5)"));
    CHECK_THAT(answer.body, Catch::Contains(R"(buildkit_lb_build_info{version="9.9.9"} 1)"));
}

TEST_CASE("healthz is ok while the process serves, readyz follows readiness and says why not")
{
    running_server server;
    auto client = server.connect();
    CHECK(client.get("/healthz").status == 200);
    CHECK(client.get("/readyz").status == 200);

    server.ready = false;
    CHECK(client.get("/healthz").status == 200);
    const auto answer = client.get("/readyz");
    CHECK(answer.status == 503);
    CHECK(answer.body == "not ready\nlistener builds: no worker of pool default is up\n");
}

TEST_CASE("workers are listed with their settings, health and load")
{
    running_server server;
    const auto snapshot = server.pool->snapshot();
    server.pool->set_health(*snapshot->workers[0].worker, balancer::worker_health::up, "");
    server.pool->set_health(*snapshot->workers[1].worker, balancer::worker_health::down, "not there");
    auto facts = std::make_shared<balancer::worker_facts>();
    facts->id = "abc";
    facts->version = "v0.34.2";
    facts->platforms = {"linux/arm64", "linux/amd64"};
    facts->labels = {{"zone", "a"}};
    server.pool->set_facts(*snapshot->workers[0].worker, facts);
    const balancer::lease build{snapshot->workers[0].worker};

    const auto answer = server.connect().get("/api/v1/workers");

    CHECK(answer.status == 200);
    CHECK(answer.headers.at("content-type") == "application/json");
    const auto expected = nlohmann::json::parse(R"({"workers": [
        {"pool": "default", "name": "w1", "address": "tcp://127.0.0.1:1234", "weight": 3, "max_builds": 8,
         "health": "up", "draining": false, "leaving": false, "going_away": false, "ejected": false, "active_builds": 1, "internal_builds": 0, "last_error": "",
         "id": "abc", "version": "v0.34.2", "platforms": ["linux/arm64", "linux/amd64"], "labels": {"zone": "a"}},
        {"pool": "default", "name": "w2", "address": "unix:///run/buildkit/w2.sock", "weight": 1, "max_builds": 0,
         "health": "down", "draining": false, "leaving": false, "going_away": false, "ejected": false, "active_builds": 0, "internal_builds": 0, "last_error": "not there"}]})");
    CHECK(nlohmann::json::parse(answer.body) == expected);
}

TEST_CASE("a worker that is ejected is listed with the reason and the time that is left, and counted in its pool")
{
    running_server server;
    server.pool->set_outliers({.consecutive_failures = 1, .ejection_time = std::chrono::seconds{100}}, clock::now());
    server.pool->report_fault(*server.pool->snapshot()->workers[0].worker, balancer::traffic_fault::reset, "reset",
                              clock::now());
    const auto all = nlohmann::json::parse(server.connect().get("/api/v1/workers").body).at("workers");
    CHECK(all.at(0).at("ejected") == true);
    CHECK(all.at(0).at("ejected_for") == "reset");
    CHECK(all.at(0).at("ejected_seconds_left") > 0);
    CHECK(all.at(0).at("ejected_seconds_left") <= 100);
    CHECK(all.at(1).at("ejected") == false);
    CHECK_FALSE(all.at(1).contains("ejected_for"));
    const auto pools = nlohmann::json::parse(server.connect().get("/api/v1/pools").body).at("pools");
    CHECK(pools.at(0).at("ejected") == 1);
}

TEST_CASE("unknown paths and wrong methods are JSON errors, and the connection lives on")
{
    running_server server;
    auto client = server.connect();
    const auto unknown = client.get("/nothing");
    CHECK(unknown.status == 404);
    CHECK(nlohmann::json::parse(unknown.body).at("error") == "nothing is at /nothing");

    const auto wrong = client.ask("DELETE", "/metrics");
    CHECK(wrong.status == 405);
    CHECK(wrong.headers.at("allow") == "GET, HEAD");
    CHECK(nlohmann::json::parse(wrong.body).contains("error"));

    CHECK(client.get("/healthz?verbose=1").status == 200);
}

TEST_CASE("HEAD gives the header of GET without its body")
{
    running_server server;
    auto client = server.connect();
    const auto got = client.get("/readyz");
    const auto head = client.ask("HEAD", "/readyz");
    CHECK(head.status == 200);
    CHECK(head.headers.at("content-length") == got.headers.at("content-length"));
    // The next answer begins where a body would be.
    CHECK(client.get("/healthz").body == "ok\n");
}

TEST_CASE("requests on one connection are answered in order, also when sent all at once")
{
    running_server server;
    auto client = server.connect();
    client.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n");
    CHECK(client.receive().value().status == 200);
    CHECK(client.receive().value().status == 404);
}

TEST_CASE("a client that wants to close, or speaks HTTP/1.0, is answered and closed")
{
    running_server server;
    for (const char* asked :
         {"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", "GET /healthz HTTP/1.0\r\n\r\n"}) {
        auto client = server.connect();
        client.send(asked);
        CHECK(client.receive().value().status == 200);
        CHECK(client.closed());
    }
}

TEST_CASE("what is not HTTP gets 400, a large header 431, a large body 413; each is then closed")
{
    running_server server;
    const std::string large(20'000, 'x');
    const std::vector<std::pair<std::string, int>> cases{
        {"SSH-2.0-OpenSSH_9.2\r\n\r\n", 400},
        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400},
        {"GET nonsense HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 400},
        {"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Large: " + large + "\r\n\r\n", 431},
        {"POST /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20000\r\n\r\n" + large, 413},
    };
    for (const auto& [sent, status] : cases) {
        INFO(sent.substr(0, 40));
        auto client = server.connect();
        client.send(sent);
        const auto answer = client.receive();
        REQUIRE(answer.has_value());
        CHECK(answer->status == status);
        CHECK(nlohmann::json::parse(answer->body).contains("error"));
        CHECK(client.closed());
    }
}

TEST_CASE("a client that says nothing, or half of a request, is closed when its time is over")
{
    admin::server_limits limits;
    limits.read_timeout = 50ms;
    running_server server{loopback(), limits};
    auto silent = server.connect();
    auto slow = server.connect();
    slow.send("GET /healthz HTTP/1.1\r\nHo");
    CHECK(silent.closed());
    CHECK(slow.closed());
}

TEST_CASE("connections over the limit wait until another one ends")
{
    admin::server_limits limits;
    limits.connections = 2;
    running_server server{loopback(), limits};
    std::optional<http_client> first{server.address()};
    CHECK(first->get("/healthz").status == 200);
    auto second = server.connect();
    CHECK(second.get("/healthz").status == 200);

    auto third = server.connect();
    third.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    // Enough turns for the third to have been served, if it were.
    for (int i = 0; i < 20; ++i) {
        CHECK(first->get("/healthz").status == 200);
    }
    CHECK(third.nothing_yet());
    first.reset();
    CHECK(third.receive().value().status == 200);
}

TEST_CASE("a handler may wait, others are served meanwhile, and stopping ends it")
{
    std::atomic<int> waiting{0};
    running_server server{
        loopback(), {}, [&](admin::router& routes) {
            routes.add("POST", "/wait/*", [&](const admin::request& asked) -> asio::awaitable<admin::response> {
                CHECK(asked.parameters.at(0) == "w1");
                asio::steady_timer forever{co_await asio::this_coro::executor, asio::steady_timer::time_point::max()};
                ++waiting;
                co_await forever.async_wait(asio::use_awaitable);
                co_return admin::response{};
            });
        }};
    auto waiter = server.connect();
    waiter.send("POST /wait/w1 HTTP/1.1\r\nHost: localhost\r\n\r\n");
    CHECK(server.connect().get("/healthz").status == 200);
    const auto deadline = clock::now() + 10s;
    while (waiting == 0 && clock::now() < deadline) {
        std::this_thread::yield();
    }
    CHECK(waiting == 1);
    server.stop();
    CHECK(waiter.closed());
}

TEST_CASE("a handler that throws is answered with 500, and the server goes on")
{
    running_server server{loopback(), {}, [](admin::router& routes) {
                              routes.add("GET", "/broken",
                                         admin::immediately([](const admin::request&) -> admin::response {
                                             throw std::runtime_error{"on purpose"};
                                         }));
                          }};
    auto client = server.connect();
    const auto answer = client.get("/broken");
    CHECK(answer.status == 500);
    CHECK(answer.body.find("on purpose") == std::string::npos);
    CHECK(client.get("/healthz").status == 200);
}

TEST_CASE("it listens on unix sockets too, replaces a stale one and removes its own")
{
    const test::temporary_directory directory;
    endpoint address;
    address.type = endpoint::kind::unix_socket;
    address.path = directory.file("admin.sock");
    ::close(test::listen_plainly(address.path));  // the file stays, as after kill -9
    REQUIRE(std::filesystem::exists(address.path));
    {
        running_server server{address};
        CHECK(server.connect().get("/healthz").status == 200);
    }
    CHECK_FALSE(std::filesystem::exists(address.path));
}

TEST_CASE("an address that is taken is an error that names it and what to do")
{
    asio::io_context context;
    const test::open_port taken{context};
    metrics::instruments instruments;
    const auto bind = [&](const endpoint& address) {
        admin::server{context.get_executor(), address, admin::context{instruments, {}, {}}};
    };
    CHECK_THROWS_WITH(bind(loopback(taken.number())),
                      "admin can't listen on tcp://127.0.0.1:" + std::to_string(taken.number()) +
                          ": Address already in use; another program listens there: stop it or choose another address");
    endpoint elsewhere;
    elsewhere.host = "192.0.2.1";  // TEST-NET: no machine has it
    elsewhere.port = 9090;
    CHECK_THROWS_WITH(bind(elsewhere), Catch::Contains("192.0.2.1:9090") && Catch::Contains("no such address"));
    endpoint name;
    name.host = "nowhere.invalid";
    CHECK_THROWS_WITH(bind(name), Catch::Contains("nowhere.invalid"));
}
