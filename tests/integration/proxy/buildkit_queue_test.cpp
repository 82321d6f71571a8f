#include <catch2/catch.hpp>

#include "buildkit/wire/control.pb.h"
#include "buildkit/wire/gateway.pb.h"
#include "support/fake_buildkit.hpp"
#include "support/ports.hpp"

using namespace buildkit_lb;
using namespace buildkit_lb::test;
using namespace std::chrono_literals;
using buildkit::grpc_code;

namespace {

const std::string bake(32, 'b');

balancer_settings capped(std::uint32_t max_builds = 1)
{
    balancer_settings settings;
    settings.max_builds = max_builds;
    settings.policy = "least-active-builds";
    return settings;
}

/// What a client's display shows of our steps: their names, what stands under them, and errors.
std::vector<std::string> shown(const grpc_stream& status)
{
    std::vector<std::string> lines;
    const auto add = [&](std::string line) {
        if (lines.empty() || lines.back() != line) {
            lines.push_back(std::move(line));
        }
    };
    for (const auto& message : status.messages) {
        wire::control::StatusResponse response;
        REQUIRE(response.ParseFromString(message));
        for (const auto& vertex : response.vertexes()) {
            add(vertex.name() + (vertex.has_completed() ? " done" : "") +
                (vertex.has_error() ? ": " + vertex.error() : ""));
        }
        for (const auto& row : response.statuses()) {
            add(row.id());
        }
    }
    return lines;
}

std::string pong_with(const std::string& cap)
{
    wire::gateway::PongResponse pong;
    pong.add_llbcaps()->set_id(cap);
    return pong.SerializeAsString();
}

std::string open_step(bool completed)
{
    wire::control::StatusResponse status;
    auto& vertex = *status.add_vertexes();
    vertex.set_digest("sha256:step");
    vertex.mutable_started()->set_seconds(1);
    if (completed) {
        vertex.mutable_completed()->set_seconds(2);
    }
    return status.SerializeAsString();
}

}  // namespace

TEST_CASE("a build waits for a free worker, is told so, and runs when one is free")
{
    buildkit_stage stage{1, capped()};
    auto& worker = stage.workers[0];
    auto& client = stage.client();
    auto& first = client.solve({"first", {}});
    REQUIRE(stage.until([&] { return worker.call(solve_path) != nullptr; }));
    stage.lb->buildkit().pongs.learn(*stage.lb->worker(0), pong_with("cap"), stage.lb->pool().snapshot());

    const std::string uuid = session_id(1);
    auto& session = client.session(uuid);
    auto& solve = client.solve({"second", uuid});
    auto& status = client.status("second");
    auto& ping = client.bridge(ping_path, "second");
    auto& llb = client.bridge(llb_solve_path, "second", "frontend");
    auto& behind = client.status("third");
    REQUIRE(stage.until([&] { return stage.lb->pool().queue_length() == 1; }));
    client.solve({"third", {}});

    // Its Ping is answered and its session speaks while it waits; nothing of it reaches a worker.
    REQUIRE(stage.until([&] { return ping.closed; }));
    CHECK(ping.messages == std::vector<std::string>{pong_with("cap")});
    REQUIRE(stage.until([&] { return session.greeted(); }));
    REQUIRE(stage.until([&] { return shown(status).size() == 2 && shown(behind).size() == 2; }));
    CHECK(status.response.get("buildkit-current-timestamp").size() == 30);
    CHECK(shown(status) == std::vector<std::string>{"[buildkit-lb] waiting for a free worker", "position 1 of 2"});
    CHECK(shown(behind).back() == "position 2 of 2");
    CHECK(worker.calls().size() == 1);
    CHECK_FALSE(solve.answered);
    CHECK(stage.lb->pool().queue_length() == 2);

    worker.call(solve_path)->answer("solved");
    REQUIRE(stage.until([&] { return first.closed && worker.call(llb_solve_path) != nullptr; }));
    REQUIRE(worker.call(solve_path, 1) != nullptr);
    CHECK(worker.session(uuid) != nullptr);
    REQUIRE(stage.until([&] { return shown(status).size() == 4; }));
    CHECK(shown(status) == std::vector<std::string>{"[buildkit-lb] waiting for a free worker", "position 1 of 2",
                                                    "[buildkit-lb] waiting for a free worker done",
                                                    "[buildkit-lb] w1 (least-active-builds) done"});
    REQUIRE(stage.until([&] { return shown(behind).back() == "position 1 of 1"; }));
    REQUIRE(stage.until([&] { return worker.call(status_path) != nullptr && worker.call(status_path)->ended; }));
    worker.call(status_path)->send(open_step(true));
    worker.call(status_path)->finish();
    REQUIRE(stage.until([&] { return status.closed; }));
    CHECK(status.status() == grpc_code::ok);
    CHECK(status.messages.back() == open_step(true));
    worker.call(llb_solve_path)->answer("result");
    worker.call(solve_path, 1)->answer("solved too");
    REQUIRE(stage.until([&] { return solve.closed && llb.closed && worker.call(solve_path, 2) != nullptr; }));
    CHECK(solve.messages == std::vector<std::string>{"solved too"});
    worker.call(solve_path, 2)->answer("");
}

TEST_CASE("a build that is cancelled while it waits leaves the queue at once, and so do those of a lost client")
{
    buildkit_stage stage{1, capped()};
    auto& client = stage.client();
    auto& other = stage.client();
    client.solve({"running", {}});
    REQUIRE(stage.until([&] { return stage.workers[0].call(solve_path) != nullptr; }));
    auto& waiting = client.solve({"waiting", {}});
    other.solve({"lost", {}});
    other.status("lost");
    REQUIRE(stage.until([&] { return stage.lb->pool().queue_length() == 2; }));

    waiting.reset(http2::error_code::cancel);
    REQUIRE(stage.until([&] { return stage.lb->pool().queue_length() == 1; }));
    other.connection().cut();
    REQUIRE(stage.until([&] { return stage.lb->pool().queue_length() == 0; }));
    stage.workers[0].call(solve_path)->answer("");
    CHECK(stage.until([&] { return stage.nothing_left(); }));
    CHECK(stage.workers[0].calls().size() == 1);
}

TEST_CASE("a full queue and a wait that is too long end the build with the reason, its Solve first")
{
    auto settings = capped();
    const bool too_long = GENERATE(true, false);
    settings.queue.max_length = too_long ? 10 : 0;
    settings.queue.timeout = 500ms;
    buildkit_stage stage{1, settings};
    auto& client = stage.client();
    client.solve({"running", {}});
    REQUIRE(stage.until([&] { return stage.workers[0].call(solve_path) != nullptr; }));

    auto& status = client.status("second");
    auto& llb = client.bridge(llb_solve_path, "second", "frontend");
    auto& solve = client.solve({"second", {}});
    std::vector<std::string> order;
    solve.on_all_closed = [&] { order.emplace_back("solve"); };
    llb.on_all_closed = [&] { order.emplace_back("llb"); };
    REQUIRE(stage.until([&] { return solve.closed && status.closed && llb.closed; }));

    CHECK(order.front() == "solve");
    CHECK(solve.status() == grpc_code::resource_exhausted);
    CHECK_THAT(solve.status_message(), Catch::StartsWith("buildkit-lb: "));
    CHECK_THAT(solve.status_message(),
               Catch::Contains(too_long ? "became free within 500 ms" : "is full: 0 of at most 0"));
    CHECK_THAT(solve.status_message(), Catch::Contains("w1 at its cap of 1 builds"));
    CHECK(llb.status() == grpc_code::resource_exhausted);
    CHECK(status.status() == grpc_code::ok);
    if (too_long) {
        REQUIRE_FALSE(shown(status).empty());
        CHECK_THAT(shown(status).back(), Catch::Contains("waiting for a free worker done: no worker of pool default"));
    }
    CHECK_THAT(stage.lb->metrics().expose(),
               Catch::Contains(std::string{"buildkit_lb_queue_rejected_total{pool=\"default\",reason=\""} +
                               (too_long ? "timeout" : "full") + "\"} 1"));
    stage.workers[0].call(solve_path)->answer("");
}

TEST_CASE("a linked build goes to its parent's worker over the cap while others wait")
{
    buildkit_stage stage{1, capped()};
    auto& worker = stage.workers[0];
    auto& client = stage.client();
    const std::string base = session_id(1);
    const std::string app = session_id(2);
    client.session(base);
    client.session(app);
    auto& parent = client.solve({"base", base, {}, false, false, bake});
    REQUIRE(stage.until([&] { return worker.call(solve_path) != nullptr; }));
    client.solve({"other", {}});
    REQUIRE(stage.until([&] { return stage.lb->pool().queue_length() == 1; }));
    auto& child = client.solve({"app", app, {}, false, true, bake});
    auto& status = client.status("app");
    REQUIRE(stage.until([&] { return shown(status).size() == 1; }));
    CHECK(shown(status).front() == "[buildkit-lb] waiting for the targets it is linked to");

    client.bridge(llb_solve_path, "app", bridge_solve_naming(base));
    REQUIRE(stage.until([&] { return worker.call(solve_path, 1) != nullptr; }));
    CHECK(stage.lb->worker(0)->active_builds() == 2);
    CHECK(stage.lb->pool().queue_length() == 1);
    worker.call(solve_path, 1)->answer("");
    worker.call(solve_path, 0)->answer("");
    REQUIRE(stage.until([&] { return child.closed && parent.closed && worker.call(solve_path, 2) != nullptr; }));
    worker.call(solve_path, 2)->answer("");
}

TEST_CASE("builds of one invocation that wait for one another are let over the cap, one at a time; others are not")
{
    auto settings = capped();
    settings.stall_patience = {50ms, 10ms};
    buildkit_stage stage{1, settings};
    auto& worker = stage.workers[0];
    auto& client = stage.client();
    client.solve({"t1", {}, {}, false, false, bake});
    client.status("t1");
    REQUIRE(stage.until([&] { return worker.call(status_path) != nullptr && worker.call(status_path)->ended; }));
    worker.call(status_path)->send(open_step(false));
    client.solve({"other", {}, {}, false, false, std::string(32, 'f')});
    client.solve({"t2", {}, {}, false, false, bake});
    auto& second = client.status("t2");
    REQUIRE(stage.until([&] { return stage.lb->pool().queue_length() == 2; }));
    // As long as a step is open its build is at work, however silent.
    CHECK(stage.peers.never([&] { return worker.call(solve_path, 1) != nullptr; }));

    worker.call(status_path)->send(open_step(true));
    REQUIRE(stage.until([&] { return worker.call(solve_path, 1) != nullptr; }));
    CHECK(stage.lb->pool().queue_length() == 1);
    REQUIRE(stage.until([&] { return worker.call(status_path, 1) != nullptr; }));
    REQUIRE(stage.until([&] { return !second.messages.empty(); }));
    CHECK(shown(second).back() == "[buildkit-lb] w1 (over its cap, because other targets wait for this one) done");
    worker.call(solve_path, 0)->answer("");
    worker.call(solve_path, 1)->answer("");
    REQUIRE(stage.until([&] { return worker.call(solve_path, 2) != nullptr; }));
    worker.call(solve_path, 2)->answer("");
}

TEST_CASE("no second build is let over the cap while the first is still on its way to its worker")
{
    auto settings = capped();
    settings.stall_patience = {50ms, 10ms};
    settings.key_sources = {"build-arg:BUILDKIT_LB_KEY"};
    buildkit_stage stage{1, settings};
    auto& worker = stage.workers[0];
    auto& client = stage.client();
    client.solve({"t1", {}, {}, false, false, bake});
    client.status("t1");
    REQUIRE(stage.until([&] { return worker.call(status_path) != nullptr && worker.call(status_path)->ended; }));
    worker.call(status_path)->send(open_step(true));
    // Its session has not come yet: it is waited for once there is a worker. (No key is to be found in it.)
    const std::string late = session_id(7);
    client.solve({"t2", late, {}, false, false, bake});
    client.solve({"t3", {}, {}, false, false, bake});
    REQUIRE(stage.until([&] { return stage.lb->pool().queue_length() == 2; }));
    REQUIRE(stage.until([&] { return stage.lb->leases() == 2; }));
    CHECK(stage.peers.never([&] { return stage.lb->leases() > 2; }));
    client.session(late);
    REQUIRE(stage.until([&] { return worker.call(solve_path, 1) != nullptr; }));
    worker.call(solve_path, 0)->answer("");
    worker.call(solve_path, 1)->answer("");
    REQUIRE(stage.until([&] { return worker.call(solve_path, 2) != nullptr; }));
    worker.call(solve_path, 2)->answer("");
}

TEST_CASE("a build that comes to the queue after its worker failed is given that worker if it is free again by then")
{
    buildkit_stage stage{2, capped()};
    auto& pool = stage.lb->pool();
    pool.observe_connect_failures([](const auto&, const auto&) {});
    balancer::admission_request request;
    request.context.excluded.push_back(stage.lb->worker(0));
    request.now = clock::now();
    std::atomic<bool> served = false;
    request.then = [&](const balancer::admission& given) { served = given.chosen.has_value(); };
    const auto other = pool.pick_worker(request.context);
    REQUIRE(other);
    const auto outcome = pool.admit(std::move(request));
    REQUIRE(outcome.waiting);
    CHECK(stage.until([&] { return served.load(); }));
    pool.leave(*outcome.waiting);
}

TEST_CASE("a build that ends leaves the next one with its Ref alone")
{
    buildkit_stage stage{1};
    auto& worker = stage.workers[0];
    auto& builds = stage.lb->buildkit().builds;
    auto& client = stage.client();
    auto& first = client.solve({"again", {}});
    auto& status = client.status("again");
    REQUIRE(stage.until([&] { return worker.call(status_path) != nullptr && worker.call(status_path)->ended; }));
    const std::weak_ptr old = builds.find("again");
    worker.call(solve_path)->answer("");
    REQUIRE(stage.until([&] { return first.closed; }));
    // The first is kept for what its Status may still tell.
    auto& second = client.solve({"again", {}});
    REQUIRE(stage.until([&] { return worker.call(solve_path, 1) != nullptr; }));
    worker.call(status_path)->finish();
    REQUIRE(stage.until([&] { return status.closed && old.expired(); }));
    CHECK(builds.find("again") != nullptr);
    CHECK(stage.lb->buildkit().placement.count().active == 1);
    worker.call(solve_path, 1)->answer("");
    CHECK(stage.until([&] { return second.closed && stage.nothing_left(); }));
}

TEST_CASE("internal builds never wait, and a client may run only so many of them")
{
    auto settings = capped();
    settings.per_client.internal_builds = 2;
    buildkit_stage stage{1, settings};
    auto& worker = stage.workers[0];
    auto& client = stage.client();
    client.solve({"running", {}});
    client.solve({"i1", {}, {}, true});
    client.solve({"i2", {}, {}, true});
    REQUIRE(stage.until([&] { return worker.calls().size() == 3; }));
    auto& third = client.solve({"i3", {}, {}, true});
    REQUIRE(stage.until([&] { return third.closed; }));
    CHECK(third.status() == grpc_code::resource_exhausted);
    CHECK_THAT(third.status_message(), Catch::Contains("limits.internal_builds_per_client"));
    worker.call(solve_path, 1)->answer("");
    worker.call(solve_path, 2)->answer("");
    REQUIRE(stage.until([&] { return stage.lb->buildkit().builds.size() == 1; }));
    client.solve({"i4", {}, {}, true});
    CHECK(stage.until([&] { return worker.calls().size() == 4; }));
    CHECK_THAT(stage.lb->metrics().expose(),
               Catch::Contains("buildkit_lb_internal_builds_refused_total{limit=\"client\",pool=\"default\"} 1"));
}

TEST_CASE("without a worker a build fails at once, or waits for the one that comes up if the pool says so")
{
    auto settings = capped();
    settings.queue.wait_when_empty = GENERATE(true, false);
    buildkit_stage stage{2, settings};
    auto& pool = stage.lb->pool();
    pool.set_health(*stage.lb->worker(0), balancer::worker_health::down, "connection refused");
    pool.set_health(*stage.lb->worker(1), balancer::worker_health::down, "timed out");
    auto& client = stage.client();
    auto& internal = client.solve({"internal", {}, {}, true});
    auto& solve = client.solve({"build", {}});
    if (!settings.queue.wait_when_empty) {
        REQUIRE(stage.until([&] { return solve.closed && internal.closed; }));
        CHECK(solve.status() == grpc_code::unavailable);
        CHECK_THAT(solve.status_message(), Catch::Contains("w1 down: connection refused; w2 down: timed out"));
        return;
    }
    REQUIRE(stage.until([&] { return pool.queue_length() == 2; }));
    pool.set_health(*stage.lb->worker(1), balancer::worker_health::up, {});
    REQUIRE(stage.until([&] { return stage.workers[1].calls().size() == 2; }));
    stage.workers[1].call(solve_path, 0)->answer("");
    stage.workers[1].call(solve_path, 1)->answer("");
    CHECK(stage.until([&] { return solve.closed && internal.closed; }));
}

TEST_CASE("many builds on both threads: never over the cap, and everybody is served")
{
    buildkit_stage stage{3, capped(2)};
    std::uint32_t most = 0;
    std::vector<std::deque<grpc_stream*>> running(3);
    for (std::size_t w = 0; w < 3; ++w) {
        stage.workers[w].on_call = [&, w](grpc_stream& call) {
            running[w].push_back(&call);
            most = std::max(most, static_cast<std::uint32_t>(running[w].size()));
        };
    }
    std::vector<grpc_stream*> solves;
    for (int c = 0; c < 6; ++c) {
        auto& client = stage.client();
        for (int b = 0; b < 20; ++b) {
            solves.push_back(&client.solve({std::to_string(c) + "-" + std::to_string(b), {}}));
        }
    }
    REQUIRE(stage.until(
        [&] {
            for (auto& on : running) {
                if (!on.empty()) {
                    auto* done = on.front();
                    on.pop_front();
                    done->answer("");
                }
            }
            return std::all_of(solves.begin(), solves.end(), [](const auto* s) { return s->closed; });
        },
        30s));
    CHECK(most <= 2);
    for (const auto* s : solves) {
        REQUIRE(s->status() == grpc_code::ok);
    }
    CHECK(stage.until([&] { return stage.nothing_left(); }));
}
