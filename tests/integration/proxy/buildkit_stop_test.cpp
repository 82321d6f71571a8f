#include <catch2/catch.hpp>

#include "support/fake_buildkit.hpp"

using namespace buildkit_lb;
using namespace buildkit_lb::test;
using buildkit::grpc_code;

TEST_CASE("a stop tells GOAWAY to who has no build, at once; to others once their builds have ended")
{
    buildkit_stage stage{1};
    auto& worker = stage.workers[0];
    auto& free = stage.client();
    auto& client = stage.client();
    auto& first = client.solve({"a", {}});
    REQUIRE(stage.until([&] { return worker.call(solve_path) != nullptr; }));
    REQUIRE(stage.until([&] { return stage.lb->connections() == 2; }));

    stage.lb->stop_accepting();
    REQUIRE(stage.until([&] { return free.connection().ended(); }));
    CHECK(free.connection().goaway_seen());
    CHECK_FALSE(client.connection().goaway_seen());

    // The build goes on to need new calls, and the invocation that keeps the connection may go on to another build.
    auto& status = client.status("a");
    auto& second = client.solve({"b", {}});
    REQUIRE(stage.until([&] { return worker.call(status_path) != nullptr && worker.call(solve_path, 1) != nullptr; }));
    worker.call(solve_path, 0)->answer("one");
    worker.call(status_path)->answer("");
    REQUIRE(stage.until([&] { return first.closed && status.closed; }));
    CHECK(stage.peers.never([&] { return client.connection().goaway_seen(); }));
    worker.call(solve_path, 1)->answer("two");

    REQUIRE(stage.until([&] { return client.connection().ended(); }));
    CHECK(client.connection().goaway_seen());
    CHECK(first.messages == std::vector<std::string>{"one"});
    CHECK(second.messages == std::vector<std::string>{"two"});
    CHECK(stage.until([&] { return stage.lb->idle(); }));
}

TEST_CASE("a session announces a build: its connection is kept during a stop")
{
    buildkit_stage stage{1};
    auto& free = stage.client();
    auto& client = stage.client();
    const auto uuid = session_id(1);
    auto& session = client.session(uuid);
    REQUIRE(stage.until([&] { return session.greeted(); }));

    stage.lb->stop_accepting();
    REQUIRE(stage.until([&] { return free.connection().ended(); }));
    auto& solve = client.solve({"a", uuid});
    REQUIRE(stage.until([&] { return stage.workers[0].call(solve_path) != nullptr; }));
    CHECK_FALSE(client.connection().goaway_seen());
    stage.workers[0].call(solve_path)->answer("built");
    REQUIRE(stage.until([&] { return solve.closed; }));
    CHECK(solve.status() == grpc_code::ok);
}

TEST_CASE("calls without an end of their own end with a stop, and say so")
{
    buildkit_stage stage{1};
    auto& client = stage.client();
    auto& watch = client.connection().call("/grpc.health.v1.Health/Watch", "");
    auto& history = client.connection().call("/moby.buildkit.v1.Control/ListenBuildHistory", "");
    REQUIRE(stage.until([&] { return watch.messages.size() == 1 && history.answered; }));
    CHECK(watch.messages[0] == "\x08\x01");

    stage.lb->stop_accepting();
    REQUIRE(stage.until([&] { return watch.closed && history.closed; }));
    CHECK(watch.messages.back() == "\x08\x02");
    CHECK(watch.status() == grpc_code::unavailable);
    CHECK(history.status() == grpc_code::unavailable);
    REQUIRE(stage.until([&] { return client.connection().ended(); }));
    CHECK(client.connection().goaway_seen());
}
