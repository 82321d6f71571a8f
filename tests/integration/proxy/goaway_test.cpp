#include <catch2/catch.hpp>

#include "support/fake_buildkit.hpp"

using namespace buildkit_lb;
using namespace buildkit_lb::test;

namespace {

constexpr std::string_view listen_path = "/moby.buildkit.v1.Control/ListenBuildHistory";
// BuildHistoryRequest: Ref "a", EarlyExit.
constexpr std::string_view history_of_a{
    "\x12\x01"
    "a"
    "\x18\x01",
    5};

}  // namespace

TEST_CASE("a worker that says GOAWAY ends its build while new ones go elsewhere")
{
    buildkit_stage stage{2};
    auto& pool = stage.lb->pool();
    pool.observe_goaways([](const auto&) {});
    auto& going = stage.workers[0];
    auto& staying = stage.workers[1];
    auto& first = stage.client().solve({"a", {}});
    REQUIRE(stage.until([&] { return going.call(solve_path) != nullptr; }));

    going.go_away();
    REQUIRE(stage.until([&] { return pool.snapshot()->workers[0].going_away; }));
    for (int i = 0; i < 3; ++i) {
        auto& next = stage.client().solve({"b" + std::to_string(i), {}});
        const auto index = static_cast<std::size_t>(i);
        REQUIRE(stage.until([&] { return staying.call(solve_path, index) != nullptr; }));
        staying.call(solve_path, index)->answer("elsewhere");
        REQUIRE(stage.until([&] { return next.closed; }));
    }
    CHECK_FALSE(first.closed);
    going.call(solve_path)->answer("here");
    REQUIRE(stage.until([&] { return first.closed; }));
    CHECK(first.messages == std::vector<std::string>{"here"});
    CHECK(pool.snapshot()->workers[0].health != balancer::worker_health::down);
    CHECK_THAT(stage.lb->metrics().expose(),
               Catch::Contains("buildkit_lb_upstream_goaways_total{pool=\"default\",worker=\"w1\"} 1"));
}

TEST_CASE("links that the balancer itself closes are no GOAWAY of the worker")
{
    buildkit_stage stage{1};
    auto& pool = stage.lb->pool();
    pool.observe_goaways([](const auto&) {});
    auto& worker = stage.workers[0];
    auto& client = stage.client();
    auto& solve = client.solve({"a", {}});
    REQUIRE(stage.until([&] { return worker.call(solve_path) != nullptr; }));
    worker.call(solve_path)->answer("built");
    REQUIRE(stage.until([&] { return solve.closed; }));
    client.connection().close();
    REQUIRE(stage.until([&] { return worker.connections() == 0 && stage.nothing_left(); }));
    CHECK_FALSE(pool.snapshot()->workers[0].going_away);
    CHECK_THAT(stage.lb->metrics().expose(), !Catch::Contains("buildkit_lb_upstream_goaways_total{"));
}

TEST_CASE("a build that has ended on a worker that is lost then has an empty history, which is no error")
{
    buildkit_stage stage{1};
    auto& worker = stage.workers[0];
    auto& client = stage.client();
    auto& solve = client.solve({"a", {}});
    REQUIRE(stage.until([&] { return worker.call(solve_path) != nullptr; }));
    worker.call(solve_path)->answer("built");
    REQUIRE(stage.until([&] { return solve.closed; }));
    SECTION("before it is asked")
    {
        worker.refuse();
        worker.cut();
        auto& history = client.connection().call(listen_path, history_of_a);
        REQUIRE(stage.until([&] { return history.closed; }));
        CHECK(history.status() == buildkit::grpc_code::ok);
    }
    SECTION("while it is asked")
    {
        auto& history = client.connection().call(listen_path, history_of_a);
        REQUIRE(stage.until([&] { return worker.call(listen_path) != nullptr; }));
        worker.cut();
        REQUIRE(stage.until([&] { return history.closed; }));
        CHECK(history.status() == buildkit::grpc_code::ok);
    }
}

TEST_CASE("a build that ended on a worker that is going away has an empty history, which is no error")
{
    buildkit_stage stage{1};
    auto& pool = stage.lb->pool();
    pool.observe_goaways([](const auto&) {});
    auto& worker = stage.workers[0];
    auto& client = stage.client();
    auto& solve = client.solve({"a", {}});
    REQUIRE(stage.until([&] { return worker.call(solve_path) != nullptr; }));
    worker.refuse();
    worker.go_away();
    REQUIRE(stage.until([&] { return pool.snapshot()->workers[0].going_away; }));
    worker.call(solve_path)->answer("built");
    REQUIRE(stage.until([&] { return solve.closed; }));

    auto& history = client.connection().call(listen_path, history_of_a);
    REQUIRE(stage.until([&] { return history.closed; }));
    CHECK(history.status() == buildkit::grpc_code::ok);
    CHECK(history.messages.empty());
}
