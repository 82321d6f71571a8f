#include <boost/asio/io_context.hpp>
#include <catch2/catch.hpp>

#include "support/fake_buildkit.hpp"
#include "support/ports.hpp"

using namespace buildkit_lb;
using namespace buildkit_lb::test;
using namespace std::chrono_literals;
using buildkit::grpc_code;
using ending = peer::ending;

namespace {

constexpr auto ejection_time = 400ms;

/// A worker is ejected at its second failure in a row.
balancer_settings ejecting(duration how_long = 1h)
{
    balancer_settings settings;
    settings.failover.attempts = GENERATE(0U, 2U);  // what a worker answers is judged alike
    settings.outliers.consecutive_failures = 2;
    settings.outliers.ejection_time = how_long;
    settings.outliers.max_ejection_time = how_long;
    return settings;
}

bool is_ejected(buildkit_stage& stage, std::size_t index)
{
    return stage.lb->pool().snapshot()->workers.at(index).ejected;
}

/// Every Solve on `w` ends as `how` says.
void script(fake_worker& w, const std::function<void(grpc_stream&)>& how)
{
    w.on_call = [how](grpc_stream& call) {
        if (call.path() == solve_path) {
            how(call);
        }
    };
}

/// One build after the other, of one client. How the last one ended.
grpc_code run_builds(buildkit_stage& stage, fake_client& client, int count = 1)
{
    static int number = 0;
    std::optional<grpc_code> last;
    for (int i = 0; i < count; ++i) {
        auto& solve = client.solve({"build-" + std::to_string(++number), {}});
        // Its worker is judged before its place is free again.
        REQUIRE(stage.until([&] { return solve.closed && stage.lb->leases() == 0; }));
        last = solve.status();
    }
    return last.value_or(grpc_code::unknown);
}

std::size_t solves(const fake_worker& w)
{
    std::size_t count = 0;
    while (w.call(solve_path, count) != nullptr) {
        ++count;
    }
    return count;
}

}  // namespace

TEST_CASE("a worker that answers UNAVAILABLE for itself is ejected, gets no build, and comes back")
{
    buildkit_stage stage{2, ejecting(ejection_time)};
    script(stage.workers[0], [](grpc_stream& call) { call.finish(grpc_code::unavailable, "not now"); });
    script(stage.workers[1], [](grpc_stream& call) { call.answer("built"); });
    auto& client = stage.client();

    // In turn: the second failure is that of the third build.
    run_builds(stage, client, 3);
    REQUIRE(is_ejected(stage, 0));
    const auto before = clock::now();
    CHECK(stage.lb->pool().snapshot()->workers[0].ejected_for == "answered UNAVAILABLE: not now");
    CHECK_THAT(stage.lb->metrics().expose(),
               Catch::Contains("buildkit_lb_worker_ejections_total{pool=\"default\",reason=\"unavailable\","
                               "worker=\"w1\"} 1\n"));
    REQUIRE(solves(stage.workers[0]) == 2);
    while (is_ejected(stage, 0)) {
        run_builds(stage, client);
        REQUIRE(clock::now() - before < 10s);
    }
    CHECK(solves(stage.workers[0]) == 2);

    script(stage.workers[0], [](grpc_stream& call) { call.answer("built"); });
    run_builds(stage, client, 2);
    CHECK(solves(stage.workers[0]) == 3);
}

TEST_CASE("a worker that resets builds is ejected")
{
    const auto settings = ejecting();
    buildkit_stage stage{2, settings};
    script(stage.workers[1], [](grpc_stream& call) { call.answer("built"); });
    auto& client = stage.client();
    std::string reason = "reset";

    SECTION("their calls")
    {
        script(stage.workers[0], [](grpc_stream& call) { call.reset(http2::error_code::internal_error); });
        run_builds(stage, client, 3);
    }
    SECTION("their connections")
    {
        auto& w = stage.workers[0];
        for (int i = 0; i < 2; ++i) {
            auto& solve = client.solve({"lost-" + std::to_string(i), {}});
            REQUIRE(stage.until([&] { return solves(w) == static_cast<std::size_t>(i) + 1; }));
            w.cut();
            REQUIRE(stage.until([&] { return solve.closed && stage.lb->leases() == 0; }));
            CHECK(solve.status() == (settings.failover.attempts == 0 ? grpc_code::unavailable : grpc_code::ok));
            if (i == 0) {
                CHECK(run_builds(stage, client) == grpc_code::ok);
            }
        }
    }
    REQUIRE(is_ejected(stage, 0));
    const auto had = solves(stage.workers[0]);
    CHECK(run_builds(stage, client, 4) == grpc_code::ok);
    CHECK(solves(stage.workers[0]) == had);
    CHECK_THAT(stage.lb->metrics().expose(),
               Catch::Contains("buildkit_lb_worker_ejections_total{pool=\"default\",reason=\"" + reason +
                               "\",worker=\"w1\"} 1\n"));
}

TEST_CASE("a worker that can't be connected to is ejected where no health check would take it down")
{
    buildkit_stage stage{2, ejecting()};
    stage.workers[0].refuse();
    script(stage.workers[1], [](grpc_stream& call) { call.answer("built"); });
    auto& client = stage.client();
    CHECK(run_builds(stage, client, 6) == grpc_code::ok);
    CHECK(is_ejected(stage, 0));
    CHECK_THAT(stage.lb->metrics().expose(),
               Catch::Contains("buildkit_lb_upstream_connect_failures_total{pool=\"default\",reason=\"refused\","
                               "worker=\"w1\"} 2\n"));
}

TEST_CASE("what a build answers, and what its client does, is never held against the worker")
{
    auto settings = ejecting();
    settings.outliers.consecutive_failures = 1;
    buildkit_stage stage{1, settings};
    auto& w = stage.workers[0];
    auto& client = stage.client();

    SECTION("a failed build")
    {
        for (const auto code : {grpc_code::unknown, grpc_code::internal, grpc_code::resource_exhausted,
                                grpc_code::deadline_exceeded, grpc_code::cancelled}) {
            script(w, [code](grpc_stream& call) { call.finish(code, "process did not complete successfully"); });
            run_builds(stage, client);
        }
    }
    SECTION("a build whose registry was unavailable: BuildKit's errors carry details")
    {
        script(w, [](grpc_stream& call) {
            call.finish(grpc_code::unavailable, "the registry is down", {{"grpc-status-details-bin", "CA4"}});
        });
        CHECK(run_builds(stage, client, 3) == grpc_code::unavailable);
    }
    SECTION("a build that the client cancels")
    {
        auto& solve = client.solve({"canceled", {}});
        REQUIRE(stage.until([&] { return w.call(solve_path) != nullptr; }));
        solve.reset(http2::error_code::cancel);
        REQUIRE(stage.until([&] { return w.call(solve_path)->closed && stage.lb->leases() == 0; }));
    }
    SECTION("a client that goes away")
    {
        client.solve({"left", {}});
        REQUIRE(stage.until([&] { return w.call(solve_path) != nullptr; }));
        client.connection().cut();
        REQUIRE(stage.until([&] { return stage.lb->leases() == 0; }));
    }
    SECTION("a worker that says GOAWAY: it drains")
    {
        auto& solve = client.solve({"last", {}});
        REQUIRE(stage.until([&] { return w.call(solve_path) != nullptr; }));
        w.go_away();
        w.call(solve_path)->answer("built");
        REQUIRE(stage.until([&] { return solve.closed; }));
        CHECK(solve.status() == grpc_code::ok);
    }
    CHECK_FALSE(is_ejected(stage, 0));
}

TEST_CASE("running builds of an ejected worker go on, and linked ones follow them")
{
    buildkit_stage stage{2, ejecting()};
    auto& w = stage.workers[0];
    auto& client = stage.client();
    auto& running = client.solve({"running", {}});
    REQUIRE(stage.until([&] { return w.call(solve_path) != nullptr; }));
    stage.lb->pool().report_fault(*stage.lb->worker(0), balancer::traffic_fault::unavailable, "no", clock::now());
    stage.lb->pool().report_fault(*stage.lb->worker(0), balancer::traffic_fault::unavailable, "no", clock::now());
    REQUIRE(is_ejected(stage, 0));
    w.call(solve_path)->answer("built");
    REQUIRE(stage.until([&] { return running.closed; }));
    CHECK(running.status() == grpc_code::ok);
}

TEST_CASE("where every worker is ejected builds go on trying them")
{
    auto settings = ejecting();
    settings.outliers.max_ejected = 100;
    buildkit_stage stage{2, settings};
    for (auto& w : stage.workers) {
        script(w, [](grpc_stream& call) { call.finish(grpc_code::unavailable, "not now"); });
    }
    auto& client = stage.client();
    run_builds(stage, client, 4);
    REQUIRE((is_ejected(stage, 0) && is_ejected(stage, 1)));
    for (auto& w : stage.workers) {
        script(w, [](grpc_stream& call) { call.answer("built"); });
    }
    CHECK(run_builds(stage, client) == grpc_code::ok);
}

TEST_CASE("protocol tcp: a worker that resets connections in use is ejected, one whose client has ended is not")
{
    worker_port bad;
    worker_port good;
    auto settings = ejecting();
    settings.workers = {bad.address(), good.address()};
    balancer_under_test lb{settings};
    const auto ejected = [&] { return lb.pool().snapshot()->workers[0].ejected; };
    const auto round = [&](bool client_ends) {
        peer client = lb.connect();
        peer worker = bad.accept();
        REQUIRE(worker.connected());
        REQUIRE(worker.send("hello"));
        REQUIRE(client.receive(5) == "hello");
        if (client_ends) {
            client.half_close();
            REQUIRE(worker.wait_for_end() == ending::closed);
        }
        worker.reset();
        REQUIRE(client.wait_for_end() == ending::reset);
        // The other one's turn.
        peer next = lb.connect();
        peer served = good.accept();
        REQUIRE(served.connected());
    };
    SECTION("in use")
    {
        round(false);
        CHECK_FALSE(ejected());
        peer client = lb.connect();
        peer worker = bad.accept();
        REQUIRE(worker.connected());
        // Not before the balancer has seen the connection, which would be a worker that can't be connected to.
        REQUIRE(worker.send("hello"));
        REQUIRE(client.receive(5) == "hello");
        worker.reset();
        REQUIRE(client.wait_for_end() == ending::reset);
        const auto deadline = clock::now() + 10s;
        while (!ejected()) {
            REQUIRE(clock::now() < deadline);
        }
        for (int i = 0; i < 2; ++i) {
            peer next = lb.connect();
            peer served = good.accept();
            CHECK(served.connected());
        }
    }
    SECTION("ended")
    {
        round(true);
        round(true);
        round(true);
        CHECK_FALSE(ejected());
    }
}
