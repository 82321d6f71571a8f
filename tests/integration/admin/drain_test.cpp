#include <catch2/catch.hpp>
#include <future>
#include <nlohmann/json.hpp>
#include <optional>

#include "admin/running_server.hpp"
#include "ctl/admin_call.hpp"
#include "support/ports.hpp"
#include "support/wait.hpp"

using namespace buildkit_lb;
using namespace buildkit_lb::test;
using namespace std::chrono_literals;
using nlohmann::json;

namespace {

/// A build on the first worker of the server's pool.
std::optional<balancer::lease> build_on_w1(const running_server& server,
                                           balancer::build_kind kind = balancer::build_kind::ordinary)
{
    return balancer::lease{server.pool->snapshot()->workers[0].worker, kind};
}

bool draining(const running_server& server)
{
    return server.pool->snapshot()->workers[0].draining;
}

json body_of(const http_answer& answer)
{
    return json::parse(answer.body);
}

}  // namespace

TEST_CASE("drain and undrain a worker, and hear what is on it")
{
    running_server server;
    auto client = server.connect();
    const auto build = build_on_w1(server);
    const auto question = build_on_w1(server, balancer::build_kind::internal);

    const auto answer = client.ask("POST", "/api/v1/workers/w1/drain");
    CHECK(answer.status == 200);
    CHECK(body_of(answer) == json::parse(R"({"worker": "w1", "pools": ["default"], "draining": true, "drained": false,
                                             "active_builds": 1, "internal_builds": 1})"));
    CHECK(draining(server));
    CHECK(body_of(client.get("/api/v1/workers")).at("workers").at(0).at("draining") == true);
    CHECK(body_of(client.get("/api/v1/pools")).at("pools").at(0).at("draining") == 1);

    CHECK(client.ask("POST", "/api/v1/workers/w1/drain").status == 200);
    CHECK(client.ask("POST", "/api/v1/workers/w1/undrain").status == 200);
    CHECK_FALSE(draining(server));
    CHECK(server.drains_changed == 2);
    CHECK(body_of(client.ask("POST", "/api/v1/workers/w2/drain?pool=default")).at("drained") == true);
}

TEST_CASE("pools are listed with their workers and queue")
{
    running_server server;
    const auto build = build_on_w1(server);
    server.pool->set_health(*server.pool->snapshot()->workers[0].worker, balancer::worker_health::up, "");
    CHECK(body_of(server.connect().get("/api/v1/pools")) ==
          json::parse(R"({"pools": [{"name": "default", "policy": "round-robin", "ready": true, "workers": 2, "up": 1,
              "draining": 0, "ejected": 0, "active_builds": 1, "internal_builds": 0, "queue_length": 0, "queue_max_length": 1000}]})"));
}

TEST_CASE("a wait is answered when the last build has ended")
{
    running_server server;
    auto build = build_on_w1(server);
    auto question = build_on_w1(server, balancer::build_kind::internal);
    auto client = server.connect();
    client.send("POST /api/v1/workers/w1/drain?wait=1 HTTP/1.1\r\nHost: localhost\r\n\r\n");
    REQUIRE(eventually([&] { return draining(server); }));
    std::this_thread::sleep_for(moment);
    CHECK(client.nothing_yet());
    build.reset();
    std::this_thread::sleep_for(moment);
    CHECK(client.nothing_yet());
    question.reset();
    const auto answer = client.receive();
    REQUIRE(answer);
    CHECK(answer->status == 200);
    CHECK(body_of(*answer).at("drained") == true);
    CHECK(body_of(*answer).at("active_builds") == 0);
    CHECK(draining(server));
}

TEST_CASE("a wait whose time is over says how many builds are left, and the worker stays draining")
{
    running_server server;
    const auto build = build_on_w1(server);
    const auto answer = server.connect().ask("POST", "/api/v1/workers/w1/drain?wait=1&timeout=50ms");
    CHECK(answer.status == 504);
    CHECK(body_of(answer).at("drained") == false);
    CHECK(body_of(answer).at("active_builds") == 1);
    CHECK(body_of(answer).at("error") == "1 build had not ended within the timeout; the worker stays draining");
    CHECK(draining(server));
}

TEST_CASE("a wait ends when the worker is undrained")
{
    running_server server;
    const auto build = build_on_w1(server);
    auto client = server.connect();
    client.send("POST /api/v1/workers/w1/drain?wait=1 HTTP/1.1\r\nHost: localhost\r\n\r\n");
    REQUIRE(eventually([&] { return draining(server); }));
    CHECK(server.connect().ask("POST", "/api/v1/workers/w1/undrain").status == 200);
    const auto answer = client.receive();
    REQUIRE(answer);
    CHECK(answer->status == 409);
    CHECK(body_of(*answer).at("drained") == false);
}

TEST_CASE("a client that goes away ends its wait")
{
    admin::server_limits limits;
    limits.connections = 1;
    running_server server{loopback(), limits};
    const auto build = build_on_w1(server);
    {
        auto client = server.connect();
        client.send("POST /api/v1/workers/w1/drain?wait=1 HTTP/1.1\r\nHost: localhost\r\n\r\n");
        REQUIRE(eventually([&] { return draining(server); }));
    }
    // There is room for one connection only.
    CHECK(server.connect().get("/healthz").status == 200);
    CHECK(draining(server));
}

TEST_CASE("a wait goes on when its worker leaves the pool, and ends with its last build")
{
    running_server server;
    auto build = build_on_w1(server);
    auto client = server.connect();
    client.send("POST /api/v1/workers/w1/drain?wait=1 HTTP/1.1\r\nHost: localhost\r\n\r\n");
    REQUIRE(eventually([&] { return draining(server); }));
    server.pool->set_workers({});
    std::this_thread::sleep_for(moment);
    CHECK(client.nothing_yet());
    build.reset();
    server.pool->drop_idle_leavers();
    const auto answer = client.receive();
    REQUIRE(answer);
    CHECK(answer->status == 200);
    // It can be undrained although it is not there: it would come back drained.
    CHECK(server.connect().ask("POST", "/api/v1/workers/w1/undrain").status == 200);
    CHECK(server.connect().ask("POST", "/api/v1/workers/w1/undrain").status == 404);
}

TEST_CASE("what can't be drained is an error that says what could")
{
    running_server server;
    auto client = server.connect();
    const auto unknown = client.ask("POST", "/api/v1/workers/w9/drain");
    CHECK(unknown.status == 404);
    CHECK(body_of(unknown).at("error") == "there is no worker 'w9'; there are: w1, w2");
    CHECK(client.ask("POST", "/api/v1/workers/w1/drain?pool=other").status == 404);
    CHECK(client.ask("POST", "/api/v1/workers/w1/drain?wait=1&timeout=soon").status == 400);
    CHECK(client.ask("POST", "/api/v1/workers/w1/drain?wiat=1").status == 400);
    CHECK(client.ask("POST", "/api/v1/workers/w1/undrain?wait=1").status == 400);
    CHECK(client.ask("GET", "/api/v1/workers/w1/drain").status == 405);
    CHECK_FALSE(draining(server));
    CHECK(server.drains_changed == 0);
}

TEST_CASE("with a token only its bearer may drain, and everybody may read")
{
    running_server server;
    server.on_its_thread([](admin::server& s) { s.set_token("0123456789abcdef"); });
    auto client = server.connect();
    const auto refused = client.ask("POST", "/api/v1/workers/w1/drain");
    CHECK(refused.status == 401);
    CHECK(refused.headers.at("www-authenticate") == "Bearer realm=\"buildkit-lb\"");
    CHECK(client.ask("POST", "/api/v1/nothing").status == 401);
    CHECK_FALSE(draining(server));
    CHECK(client.get("/api/v1/workers").status == 200);
    CHECK(client.ask("POST", "/api/v1/workers/w1/drain", "Authorization: Bearer 0123456789abcdef\r\n").status == 200);
    CHECK(draining(server));
}

TEST_CASE("a page of another site may not drain")
{
    running_server server;
    auto client = server.connect();
    CHECK(client.ask("POST", "/api/v1/workers/w1/drain", "Origin: http://evil.example\r\n").status == 403);
    CHECK(client.ask("POST", "/api/v1/workers/w1/drain", "Sec-Fetch-Site: cross-site\r\n").status == 403);
    CHECK_FALSE(draining(server));
}

TEST_CASE("the command line's calls reach a server, with their token and their time")
{
    running_server server;
    server.on_its_thread([](admin::server& s) { s.set_token("0123456789abcdef"); });
    const auto build = build_on_w1(server);
    endpoint address = loopback(static_cast<std::uint16_t>(std::stoi(to_string(server.address()).substr(10))));
    const auto with_token = ctl::admin_server_at(address, "0123456789abcdef");
    ctl::admin_call call;
    call.method = "POST";
    call.target = "/api/v1/workers/w1/drain";
    CHECK(ctl::admin_server_at(address, "")(call)->status == 401);
    const auto answer = with_token(call);
    REQUIRE(answer.has_value());
    CHECK(answer->status == 200);
    CHECK(json::parse(answer->body).at("active_builds") == 1);

    call.target += "?wait=1";
    call.timeout = 200ms;
    CHECK_THAT(with_token(call).error().text, Catch::Contains("did not answer in time"));
    call.timeout = 20s;
    server.pool->set_draining("w1", false);
    auto waits = std::async(std::launch::async, [&] { return with_token(call); });
    REQUIRE(eventually([&] { return draining(server); }));
    server.stop();
    const auto lost = waits.get();
    CHECK_THAT(lost.error().text,
               Catch::Contains("closed the connection without an answer") || Catch::Contains("Connection reset"));
    CHECK_THAT(with_token(call).error().text,
               Catch::Contains("can't reach the admin server at " + address.to_string()));
}

TEST_CASE("the command line's calls reach a server on a unix socket")
{
    const temporary_directory directory;
    endpoint address;
    address.type = endpoint::kind::unix_socket;
    address.path = directory.file("admin.sock");
    running_server server{address};
    ctl::admin_call call;
    call.target = "/api/v1/pools";
    CHECK(ctl::admin_server_at(address, "")(call)->status == 200);
}
