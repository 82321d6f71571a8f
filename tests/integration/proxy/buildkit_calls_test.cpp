#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <catch2/catch.hpp>
#include <map>

#include "buildkit/wire/control.pb.h"
#include "buildkit/wire/gateway.pb.h"
#include "support/fake_buildkit.hpp"
#include "support/ports.hpp"

using namespace buildkit_lb;
using namespace buildkit_lb::test;
using namespace std::chrono_literals;
using buildkit::grpc_code;

namespace {

std::vector<std::string> paths(const fake_worker& worker)
{
    std::vector<std::string> all;
    for (const auto* c : worker.calls()) {
        all.push_back(c->path());
    }
    return all;
}

std::string step(const std::string& digest)
{
    wire::control::StatusResponse status;
    auto& vertex = *status.add_vertexes();
    vertex.set_digest(digest);
    vertex.set_name("RUN " + digest);
    return status.SerializeAsString();
}

wire::control::StatusResponse parsed(const std::string& message)
{
    wire::control::StatusResponse status;
    REQUIRE(status.ParseFromString(message));
    return status;
}

}  // namespace

TEST_CASE("a build passes: its calls reach one worker and their answers come back")
{
    buildkit_stage stage{2};
    auto& client = stage.client();

    auto& solve = client.solve({"build-1", {}});
    REQUIRE(stage.until([&] { return stage.workers[0].call(solve_path) != nullptr; }));
    auto& bridge = client.bridge(llb_solve_path, "build-1", "frontend");
    REQUIRE(stage.until([&] { return stage.workers[0].call(llb_solve_path) != nullptr; }));
    auto& at_worker = *stage.workers[0].call(llb_solve_path);
    REQUIRE(stage.until([&] { return at_worker.ended; }));
    CHECK(at_worker.messages == std::vector<std::string>{"frontend"});
    at_worker.answer("result");
    REQUIRE(stage.until([&] { return bridge.closed; }));

    CHECK(bridge.messages == std::vector<std::string>{"result"});
    CHECK(bridge.status() == grpc_code::ok);
    CHECK(stage.lb->worker(0)->active_builds() == 1);
    stage.workers[0].call(solve_path)->answer("solved");
    REQUIRE(stage.until([&] { return solve.closed; }));
    CHECK(solve.messages == std::vector<std::string>{"solved"});
    CHECK(solve.status() == grpc_code::ok);
    CHECK(stage.workers[1].calls().empty());
    CHECK(stage.until([&] { return stage.nothing_left(); }));
    CHECK(stage.lb->buildkit().placement.count().remembered == 1);
}

TEST_CASE("calls that come before their Solve are held, and follow it to its worker in their order")
{
    buildkit_stage stage{1};
    auto& worker = stage.workers[0];
    auto& client = stage.client();

    auto& status = client.status("build-1");
    auto& ping = client.bridge(ping_path, "build-1");
    REQUIRE(stage.until([&] { return stage.lb->buildkit().placement.count().held_calls == 2; }));
    CHECK(stage.peers.never([&] { return !worker.calls().empty(); }));
    CHECK_FALSE(status.answered);

    auto& solve = client.solve({"build-1", {}});
    REQUIRE(stage.until([&] { return worker.calls().size() == 3; }));
    CHECK(paths(worker).front() == solve_path);
    CHECK(worker.call(status_path) != nullptr);
    CHECK(worker.call(ping_path) != nullptr);

    worker.call(ping_path)->answer("");
    worker.call(status_path)->send(step("sha256:1"));
    worker.call(status_path)->finish();
    worker.call(solve_path)->answer("done");
    REQUIRE(stage.until([&] { return ping.closed && status.closed && solve.closed; }));
    CHECK(status.status() == grpc_code::ok);
    CHECK(ping.status() == grpc_code::ok);
    CHECK(stage.until([&] { return stage.nothing_left(); }));
}

TEST_CASE("the first thing Status tells is the worker and why; the worker's own messages follow")
{
    balancer_settings settings;
    settings.progress = GENERATE(true, false);
    const bool progress = settings.progress;
    buildkit_stage stage{1, settings};
    auto& client = stage.client();
    client.solve({"build-1", {}});
    auto& status = client.status("build-1");
    REQUIRE(stage.until([&] { return stage.workers[0].call(status_path) != nullptr; }));

    auto& at_worker = *stage.workers[0].call(status_path);
    at_worker.send(step("sha256:1"));
    at_worker.send(step("sha256:2"));
    at_worker.finish();
    stage.workers[0].call(solve_path)->answer({});
    REQUIRE(stage.until([&] { return status.closed; }));

    REQUIRE(status.messages.size() == (progress ? 3U : 2U));
    if (progress) {
        const auto own = parsed(status.messages[0]);
        REQUIRE(own.vertexes_size() == 1);
        CHECK_THAT(own.vertexes(0).name(), Catch::StartsWith("[buildkit-lb] w1 ("));
        CHECK(own.vertexes(0).has_completed());
    }
    CHECK(status.messages.back() == step("sha256:2"));
}

TEST_CASE("the calls of one build come together from two connections on two threads")
{
    buildkit_stage stage{3};
    auto& one = stage.client();
    REQUIRE(stage.until([&] { return stage.lb->connections() == 1; }));
    auto& two = stage.client();
    REQUIRE(stage.until([&] { return stage.lb->connections() == 2; }));

    for (int i = 0; i < 6; ++i) {
        const std::string ref = "build-" + std::to_string(i);
        auto& worker = stage.workers[static_cast<std::size_t>(i % 3)];
        const auto before = worker.calls().size();
        auto& status = two.status(ref);
        if (i % 2 == 0) {
            REQUIRE(stage.until([&] { return stage.lb->buildkit().placement.count().held_calls == 1; }));
        }
        auto& solve = one.solve({ref, {}});
        REQUIRE(stage.until([&] { return worker.calls().size() == before + 2; }));
        CHECK(worker.connections() == 2);  // a link for each of the client's connections
        for (auto at = before; at < before + 2; ++at) {
            worker.calls()[at]->finish();
        }
        REQUIRE(stage.until([&] { return status.closed && solve.closed; }));
        CHECK(status.status() == grpc_code::ok);
    }
    CHECK(stage.until([&] { return stage.nothing_left(); }));
}

TEST_CASE("a Ping before its Solve is answered from what workers have said before")
{
    buildkit_stage stage{1};
    auto& client = stage.client();
    client.solve({"first", {}});
    auto& first = client.bridge(ping_path, "first");
    REQUIRE(stage.until([&] { return stage.workers[0].call(ping_path) != nullptr; }));
    stage.workers[0].call(ping_path)->answer({});  // a PongResponse without capabilities
    REQUIRE(stage.until([&] { return first.closed; }));

    auto& early = client.bridge(ping_path, "second");

    REQUIRE(stage.until([&] { return early.closed; }));
    CHECK(early.status() == grpc_code::ok);
    CHECK(early.messages.size() == 1);
    CHECK(stage.workers[0].call(ping_path, 1) == nullptr);
}

TEST_CASE("once probes know all workers a Ping is answered at once, with what all of them can do")
{
    buildkit_stage stage{2};
    const auto tell = [&](std::size_t worker, const std::vector<std::string>& capabilities) {
        wire::gateway::PongResponse pong;
        for (const auto& id : capabilities) {
            pong.add_llbcaps()->set_id(id);
        }
        balancer::worker_facts facts;
        facts.pong = pong.SerializeAsString();
        stage.lb->pool().set_facts(*stage.lb->worker(worker),
                                   std::make_shared<const balancer::worker_facts>(std::move(facts)));
    };
    tell(0, {"one", "two"});
    tell(1, {"two"});
    auto& client = stage.client();
    client.solve({"build", {}});

    auto& ping = client.bridge(ping_path, "build");

    REQUIRE(stage.until([&] { return ping.closed; }));
    wire::gateway::PongResponse pong;
    REQUIRE(ping.messages.size() == 1);
    REQUIRE(pong.ParseFromString(ping.messages[0]));
    REQUIRE(pong.llbcaps_size() == 1);
    CHECK(pong.llbcaps(0).id() == "two");
    CHECK(stage.workers[0].call(ping_path) == nullptr);
    CHECK(stage.workers[1].call(ping_path) == nullptr);
}

TEST_CASE("a Status whose Solve does not come is asked of a worker once it has waited long enough")
{
    balancer_settings settings;
    settings.placement.hold_time = 100ms;
    buildkit_stage stage{1, settings};

    auto& status = stage.client().status("nobody-builds-this");

    REQUIRE(stage.until([&] { return stage.workers[0].call(status_path) != nullptr; }));
    stage.workers[0].call(status_path)->finish(grpc_code::not_found, "no such job");
    REQUIRE(stage.until([&] { return status.closed; }));
    CHECK(status.status() == grpc_code::not_found);
    CHECK(status.status_message() == "no such job");
    CHECK(stage.until([&] { return stage.nothing_left(); }));
}

TEST_CASE("too many held calls are refused, and only those")
{
    balancer_settings settings;
    settings.placement.held_calls = 2;
    buildkit_stage stage{1, settings};
    auto& client = stage.client();
    auto& first = client.status("a");
    auto& second = client.status("b");
    REQUIRE(stage.until([&] { return stage.lb->buildkit().placement.count().held_calls == 2; }));

    auto& third = client.status("c");

    REQUIRE(stage.until([&] { return third.closed; }));
    CHECK(third.status() == grpc_code::resource_exhausted);
    CHECK_FALSE(first.closed);
    CHECK_FALSE(second.closed);
}

TEST_CASE("a Status that can't be held while its build is being placed on another thread is refused")
{
    boost::asio::io_context context;
    const hanging_port hanging{context};
    balancer_settings settings;
    settings.workers = {tcp_at("127.0.0.1", hanging.number())};
    settings.connect_timeout = 1s;
    settings.placement.held_calls = 0;
    buildkit_stage stage{0, settings};
    auto& one = stage.client();
    REQUIRE(stage.until([&] { return stage.lb->connections() == 1; }));
    auto& two = stage.client();
    REQUIRE(stage.until([&] { return stage.lb->connections() == 2; }));
    auto& solve = one.solve({"build-1", {}});
    REQUIRE(stage.until([&] { return stage.lb->leases() == 1; }));

    auto& status = two.status("build-1");

    REQUIRE(stage.until([&] { return status.closed; }));
    CHECK(status.status() == grpc_code::resource_exhausted);
    CHECK_FALSE(solve.closed);
    REQUIRE(stage.until([&] { return solve.closed; }));
    CHECK(solve.status() == grpc_code::unavailable);
    CHECK(stage.until([&] { return stage.nothing_left(); }));
}

TEST_CASE("a second build with the Ref of a running one is refused, and the first goes on")
{
    buildkit_stage stage{1};
    auto& client = stage.client();
    auto& first = client.solve({"build-1", {}});
    REQUIRE(stage.until([&] { return stage.workers[0].call(solve_path) != nullptr; }));

    auto& second = client.solve({"build-1", {}});

    REQUIRE(stage.until([&] { return second.closed; }));
    CHECK(second.status() == grpc_code::already_exists);
    CHECK(stage.workers[0].call(solve_path, 1) == nullptr);
    stage.workers[0].call(solve_path)->answer("done");
    REQUIRE(stage.until([&] { return first.closed; }));
    CHECK(first.status() == grpc_code::ok);
    CHECK(stage.until([&] { return stage.nothing_left(); }));
}

TEST_CASE("a linked build goes to the worker of its parent, against the policy's turn")
{
    buildkit_stage stage{3};
    auto& client = stage.client();
    const std::string parent_session = session_id(1);
    const std::string child_session = session_id(2);
    client.session(parent_session);
    client.session(child_session);
    auto& parent = client.solve({"parent", parent_session});
    REQUIRE(stage.until([&] { return stage.workers[0].call(solve_path) != nullptr; }));

    build linked{"child", child_session};
    linked.linked = true;
    auto& child = client.solve(linked);
    CHECK(stage.peers.never([&] { return stage.workers[1].call(solve_path) || stage.workers[0].call(solve_path, 1); }));
    client.bridge(llb_solve_path, "child", bridge_solve_naming(parent_session));

    REQUIRE(stage.until([&] { return stage.workers[0].call(solve_path, 1) != nullptr; }));
    REQUIRE(stage.until([&] { return stage.workers[0].call(llb_solve_path) != nullptr; }));
    CHECK(stage.workers[0].session(parent_session) != nullptr);
    CHECK(stage.workers[0].session(child_session) != nullptr);
    CHECK(stage.workers[0].session(parent_session, 1) == nullptr);
    CHECK(stage.lb->worker(0)->active_builds() == 2);
    stage.workers[0].call(solve_path, 1)->answer("child");
    stage.workers[0].call(solve_path, 0)->answer("parent");
    REQUIRE(stage.until([&] { return child.closed && parent.closed; }));
    CHECK(child.messages == std::vector<std::string>{"child"});
}

TEST_CASE("internal builds are counted apart")
{
    buildkit_stage stage{1};
    build internal{"asks-for-capabilities", {}};
    internal.internal = true;
    auto& solve = stage.client().solve(internal);
    REQUIRE(stage.until([&] { return stage.workers[0].call(solve_path) != nullptr; }));

    CHECK(stage.lb->worker(0)->active_builds() == 0);
    CHECK(stage.lb->worker(0)->internal_builds() == 1);
    stage.workers[0].call(solve_path)->answer({});
    CHECK(stage.until([&] { return solve.closed && stage.nothing_left(); }));
}

TEST_CASE("an error whose details are 300 KiB passes whole")
{
    buildkit_stage stage{1};
    auto& solve = stage.client().solve({"build-1", {}});
    REQUIRE(stage.until([&] { return stage.workers[0].call(solve_path) != nullptr; }));
    std::string details;
    for (int i = 0; details.size() < 300 * 1024; ++i) {
        details += std::to_string(i * 7919) + "+/";
    }

    stage.workers[0]
        .call(solve_path)
        ->finish(grpc_code::unknown, "failed to solve: it failed", {{"grpc-status-details-bin", details}});

    REQUIRE(stage.until([&] { return solve.closed; }));
    CHECK(solve.status() == grpc_code::unknown);
    CHECK(solve.status_message() == "failed to solve: it failed");
    const bool same = solve.trailers.get("grpc-status-details-bin") == details;
    CHECK(same);
    CHECK_FALSE(solve.reset_by_peer.has_value());
}

TEST_CASE("hundreds of builds from many connections are spread and leave nothing behind")
{
    balancer_settings settings;
    settings.policy = "least-active-builds";
    buildkit_stage stage{3, settings};
    for (auto& worker : stage.workers) {
        worker.on_call = [](grpc_stream& call) { call.answer(call.path() == solve_path ? "done" : ""); };
    }
    constexpr int clients = 8;
    constexpr int builds = 25;
    std::vector<grpc_stream*> calls;
    std::vector<tunnel_end*> sessions;
    for (int c = 0; c < clients; ++c) {
        auto& client = stage.client();
        const std::string session = session_id(c);
        sessions.push_back(&client.session(session));
        for (int b = 0; b < builds; ++b) {
            const std::string ref = std::to_string(c) + "-" + std::to_string(b);
            if (b % 2 == 0) {
                calls.push_back(&client.status(ref));
            }
            calls.push_back(&client.solve({ref, session}));
            calls.push_back(&client.bridge(llb_solve_path, ref));
            if (b % 2 == 1) {
                calls.push_back(&client.status(ref));
            }
        }
    }

    REQUIRE(stage.until([&] { return std::all_of(calls.begin(), calls.end(), [](auto* c) { return c->closed; }); },
                        2 * patience));
    CHECK(std::all_of(calls.begin(), calls.end(), [](auto* c) { return c->status() == grpc_code::ok; }));
    std::size_t placed = 0;
    for (auto& worker : stage.workers) {
        std::map<std::string, int> offered;
        for (auto* s : worker.sessions()) {
            ++offered[s->uuid()];
        }
        CHECK(std::all_of(offered.begin(), offered.end(), [](const auto& o) { return o.second == 1; }));
        CHECK(worker.call(solve_path) != nullptr);
        for (auto* c : worker.calls()) {
            placed += c->path() == solve_path ? 1U : 0U;
        }
    }
    CHECK(placed == clients * builds);
    for (auto* session : sessions) {
        session->outer().end();
    }
    CHECK(stage.until([&] { return stage.nothing_left(); }));
}
