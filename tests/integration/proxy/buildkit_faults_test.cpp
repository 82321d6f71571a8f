#include <atomic>
#include <boost/asio/io_context.hpp>
#include <catch2/catch.hpp>

#include "support/fake_buildkit.hpp"
#include "support/ports.hpp"

using namespace buildkit_lb;
using namespace buildkit_lb::test;
using namespace std::chrono_literals;
using buildkit::grpc_code;

namespace {

constexpr std::string_view copy_path = "/moby.filesync.v1.FileSync/DiffCopy";
constexpr std::string_view exec_path = "/moby.buildkit.v1.frontend.LLBBridge/ReadFile";

/// A stage whose first worker is at `first`, played by nobody or by the test.
balancer_settings with_first_worker(const endpoint& first, duration connect_timeout)
{
    balancer_settings settings;
    settings.workers = {first};
    settings.connect_timeout = connect_timeout;
    return settings;
}

}  // namespace

TEST_CASE("a worker lost in the middle of a build fails that build by name, and no other")
{
    buildkit_stage stage{2};
    auto& lost = stage.workers[0];
    auto& fine = stage.workers[1];
    auto& client = stage.client();
    const std::string shared = session_id(3);
    auto& session = client.session(shared);
    auto& solve_a = client.solve({"a", shared});
    auto& solve_b = client.solve({"b", shared});
    auto& status_a = client.status("a");
    auto& status_b = client.status("b");
    auto& bridge_a = client.bridge(exec_path, "a");
    auto& bridge_b = client.bridge(exec_path, "b");
    REQUIRE(stage.until([&] { return lost.calls().size() == 3 && fine.calls().size() == 3; }));
    REQUIRE(stage.until([&] { return lost.call(solve_path)->ended; }));
    REQUIRE_THAT(lost.call(solve_path)->messages.at(0), Catch::StartsWith("\x0a\x01"
                                                                          "a"));  // its Ref
    const bool answered = GENERATE(false, true);
    CAPTURE(answered);
    if (answered) {
        lost.call(status_path)->respond();
        REQUIRE(stage.until([&] { return status_a.answered; }));
    }
    std::vector<std::string> order;
    solve_a.on_all_closed = [&] { order.emplace_back("solve"); };
    bridge_a.on_all_closed = [&] { order.emplace_back("bridge"); };
    status_a.on_all_closed = [&] { order.emplace_back("status"); };

    lost.cut();

    REQUIRE(stage.until([&] { return solve_a.closed && bridge_a.closed && status_a.closed; }));
    CHECK(solve_a.status() == grpc_code::unavailable);
    CHECK_THAT(solve_a.status_message(), Catch::Contains("w1"));
    CHECK(bridge_a.status() == grpc_code::unavailable);
    CHECK_THAT(bridge_a.status_message(), Catch::Contains("w1"));
    CHECK(status_a.status() == grpc_code::ok);
    CHECK(order.front() == "solve");
    CHECK(stage.until([&] { return stage.lb->worker(0)->active_builds() == 0; }));

    // The other build, on the same connection and with the same session, goes on.
    CHECK_FALSE(solve_b.closed);
    CHECK_FALSE(status_b.closed);
    auto& call = fine.session(shared)->call(copy_path);
    REQUIRE(stage.until([&] { return session.count() == 1; }));
    session.served(0).answer("still here");
    REQUIRE(stage.until([&] { return call.closed; }));
    CHECK(call.messages == std::vector<std::string>{"still here"});
    fine.call(exec_path)->answer("read");
    fine.call(status_path)->finish();
    fine.call(solve_path)->answer("built");
    REQUIRE(stage.until([&] { return solve_b.closed && status_b.closed && bridge_b.closed; }));
    CHECK(solve_b.status() == grpc_code::ok);
    CHECK(bridge_b.messages == std::vector<std::string>{"read"});
    session.outer().end();
    CHECK(stage.until([&] { return stage.nothing_left(); }));
}

TEST_CASE("a worker whose connection is lost with a build on it is down from then on")
{
    buildkit_stage stage{2};
    std::atomic<int> reports{0};
    stage.lb->pool().observe_connect_failures([&](const auto&, const auto&) { ++reports; });
    auto& lost = stage.workers[0];
    auto& client = stage.client();
    auto& solve = client.solve({"a", {}});
    REQUIRE(stage.until([&] { return lost.call(solve_path) != nullptr; }));

    lost.cut();

    REQUIRE(stage.until([&] { return solve.closed; }));
    const auto told = stage.lb->pool().snapshot()->workers;
    CHECK(told[0].health == balancer::worker_health::down);
    CHECK_THAT(told[0].last_error, Catch::Contains("the connection was lost"));
    CHECK(told[1].health == balancer::worker_health::unknown);
    CHECK(reports == 1);
}

TEST_CASE("a worker whose client leaves in the middle of a build is not to blame")
{
    buildkit_stage stage{1};
    std::atomic<int> reports{0};
    stage.lb->pool().observe_connect_failures([&](const auto&, const auto&) { ++reports; });
    auto& client = stage.client();
    client.solve({"a", {}});
    REQUIRE(stage.until([&] { return stage.workers[0].call(solve_path) != nullptr; }));
    client.connection().cut();
    CHECK(stage.until([&] { return stage.nothing_left(); }));
    CHECK(reports == 0);
}

TEST_CASE("a worker that was lost and came back gets the session again")
{
    buildkit_stage stage{1};
    auto& worker = stage.workers[0];
    auto& client = stage.client();
    const std::string uuid = session_id(3);
    client.session(uuid);
    auto& first = client.solve({"a", uuid});
    REQUIRE(stage.until([&] { return worker.call(solve_path) != nullptr; }));
    worker.cut();
    REQUIRE(stage.until([&] { return first.closed; }));
    REQUIRE(first.status() == grpc_code::unavailable);

    auto& second = client.solve({"b", uuid});

    REQUIRE(stage.until([&] { return worker.call(solve_path, 1) != nullptr; }));
    REQUIRE(worker.session(uuid, 1) != nullptr);
    CHECK(worker.session(uuid, 0)->outer().closed);
    worker.call(solve_path, 1)->answer("built");
    REQUIRE(stage.until([&] { return second.closed; }));
    CHECK(second.status() == grpc_code::ok);
}

TEST_CASE("a worker that can't be reached is passed over before Solve is sent anywhere")
{
    boost::asio::io_context context;
    const closed_port closed{context};
    const hanging_port hanging{context};
    const open_port dumb{context};  // takes connections and never says a word
    std::string reason;
    std::uint16_t port = 0;
    SECTION("it refuses")
    {
        port = closed.number();
        reason = "refused";
    }
    SECTION("it does not answer")
    {
        port = hanging.number();
        reason = "timed_out";
    }
    SECTION("it accepts and does not speak HTTP/2")
    {
        port = dumb.number();
        reason = "timed_out";
    }
    buildkit_stage stage{1, with_first_worker(tcp_at("127.0.0.1", port), 300ms)};
    auto& client = stage.client();
    const std::string uuid = session_id(1);
    auto& session = client.session(uuid);
    auto& status = client.status("build-1");

    auto& solve = client.solve({"build-1", uuid});

    auto& worker = stage.workers[0];
    REQUIRE(stage.until([&] { return worker.call(solve_path) && worker.call(status_path); }));
    CHECK(worker.session(uuid) != nullptr);
    CHECK(stage.lb->worker(0)->active_builds() == 0);
    CHECK(stage.lb->worker(1)->active_builds() == 1);
    CHECK_THAT(stage.lb->metrics().expose(),
               Catch::Contains("buildkit_lb_upstream_connect_failures_total{pool=\"default\",reason=\"" + reason +
                               "\",worker=\"w1\"} 1\n"));
    worker.call(status_path)->finish();
    worker.call(solve_path)->answer("built");
    REQUIRE(stage.until([&] { return solve.closed && status.closed; }));
    CHECK(solve.status() == grpc_code::ok);
    session.outer().end();
    CHECK(stage.until([&] { return stage.nothing_left(); }));
}

TEST_CASE("a build that no worker can take fails at once, Solve first, with each worker's name")
{
    boost::asio::io_context context;
    const closed_port closed{context};
    buildkit_stage stage{1, with_first_worker(tcp_at("127.0.0.1", closed.number()), 300ms)};
    stage.workers[0].refuse();
    auto& client = stage.client();
    auto& status = client.status("build-1");
    auto& bridge = client.bridge(exec_path, "build-1");
    REQUIRE(stage.until([&] { return stage.lb->buildkit().placement.count().held_calls == 2; }));

    auto& solve = client.solve({"build-1", {}});

    REQUIRE(stage.until([&] { return solve.closed && bridge.closed && status.closed; }));
    CHECK(solve.status() == grpc_code::unavailable);
    CHECK_THAT(solve.status_message(), Catch::Contains("w1") && Catch::Contains("w2"));
    CHECK(bridge.status() == grpc_code::unavailable);
    CHECK(bridge.status_message() == solve.status_message());
    CHECK(status.status() == grpc_code::ok);
    CHECK(stage.until([&] { return stage.nothing_left(); }));
}

TEST_CASE("a held call that its client resets leaves nothing behind")
{
    buildkit_stage stage{1};
    auto& client = stage.client();
    auto& status = client.status("never");
    auto& bridge = client.bridge(exec_path, "never", std::string(100'000, 'x'));
    auto& kept = client.status("later");
    REQUIRE(stage.until([&] { return stage.lb->buildkit().placement.count().held_calls == 3; }));

    status.reset(http2::error_code::cancel);
    bridge.reset(http2::error_code::cancel);

    CHECK(stage.until([&] { return stage.lb->buildkit().placement.count().held_calls == 1; }));
    client.solve({"later", {}});
    REQUIRE(stage.until([&] { return stage.workers[0].call(status_path) != nullptr; }));
    CHECK(stage.workers[0].calls().size() == 2);
    CHECK_FALSE(kept.closed);
}

TEST_CASE("a client that goes away while its build is held leaves nothing behind")
{
    boost::asio::io_context context;
    const hanging_port hanging{context};
    buildkit_stage stage{0, with_first_worker(tcp_at("127.0.0.1", hanging.number()), 60s)};
    auto& client = stage.client();
    auto& session = client.session(session_id(1));
    auto& solve = client.solve({"build-1", session_id(1)});
    client.status("build-1");
    client.bridge(exec_path, "build-1");
    REQUIRE(stage.until([&] { return stage.lb->buildkit().placement.count().held_calls == 2; }));
    REQUIRE(stage.until([&] { return stage.lb->leases() == 1; }));

    SECTION("it resets Solve")
    {
        solve.reset(http2::error_code::cancel);
        CHECK(stage.until([&] { return stage.lb->leases() == 0; }));
        CHECK(stage.lb->buildkit().placement.count().active == 0);
        session.outer().end();
        CHECK(stage.until([&] { return session.outer().closed; }));
        client.connection().close_gracefully();
    }
    SECTION("it disconnects")
    {
        client.connection().cut();
        CHECK(stage.until([&] { return stage.lb->leases() == 0; }, 2s));
    }
    CHECK(stage.until([&] { return stage.nothing_left() && stage.lb->idle(); }));
}

TEST_CASE("a Solve that its client cancels is cancelled on the worker")
{
    buildkit_stage stage{1};
    auto& client = stage.client();
    auto& solve = client.solve({"build-1", {}});
    auto& status = client.status("build-1");
    auto& worker = stage.workers[0];
    REQUIRE(stage.until([&] { return worker.call(solve_path) && worker.call(status_path); }));

    solve.reset(http2::error_code::cancel);

    REQUIRE(stage.until([&] { return worker.call(solve_path)->closed; }));
    CHECK(worker.call(solve_path)->reset_by_peer == http2::error_code::cancel);
    CHECK_FALSE(worker.call(status_path)->closed);  // the client still reads how it ends
    CHECK(stage.until([&] { return stage.lb->leases() == 0; }));
    worker.call(status_path)->finish();
    CHECK(stage.until([&] { return status.closed; }));
    CHECK(stage.until([&] { return stage.nothing_left(); }));
}

TEST_CASE("garbage closes the connection it comes on and no other")
{
    buildkit_stage stage{1};
    auto& client = stage.client();
    auto& solve = client.solve({"build-1", {}});
    REQUIRE(stage.until([&] { return stage.workers[0].call(solve_path) != nullptr; }));

    SECTION("instead of a preface")
    {
        auto odd = stage.lb->connect();
        odd.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        CHECK(odd.wait_for_end() != peer::ending::none);
    }
    SECTION("after the preface")
    {
        auto odd = stage.lb->connect();
        odd.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        odd.send(std::string(4096, '\xff'));
        CHECK(odd.wait_for_end() != peer::ending::none);
    }
    SECTION("nothing but a connection")
    {
        auto odd = stage.lb->connect();
        CHECK(odd.connected());
    }
    SECTION("a Solve that is no protobuf")
    {
        auto& odd = client.connection().call(solve_path, "\xff\xff\xff\xff");
        REQUIRE(stage.until([&] { return odd.closed; }));
        CHECK(odd.status() == grpc_code::invalid_argument);
    }
    SECTION("a Status without a message")
    {
        auto& odd = client.connection().open(status_path);
        odd.end();
        REQUIRE(stage.until([&] { return odd.closed; }));
        CHECK(odd.status().value_or(grpc_code::ok) != grpc_code::ok);
    }
    SECTION("a message that announces more than is allowed")
    {
        auto& odd = stage.client().connection().open(solve_path);
        odd.send_raw({"\x00\xff\xff\xff\xff", 5});
        REQUIRE(stage.until([&] { return odd.closed; }));
        CHECK(odd.status() == grpc_code::resource_exhausted);
    }

    CHECK_FALSE(solve.closed);
    stage.workers[0].call(solve_path)->answer("built");
    REQUIRE(stage.until([&] { return solve.closed; }));
    CHECK(solve.status() == grpc_code::ok);
    CHECK(stage.until([&] { return stage.nothing_left(); }));
}

TEST_CASE("a client that says GOAWAY finishes what runs, then everything of it is gone")
{
    buildkit_stage stage{1};
    auto& client = stage.client();
    auto& solve = client.solve({"build-1", {}});
    REQUIRE(stage.until([&] { return stage.workers[0].call(solve_path) != nullptr; }));

    client.connection().close_gracefully();
    CHECK(stage.peers.never([&] { return solve.closed || stage.workers[0].call(solve_path)->closed; }));
    stage.workers[0].call(solve_path)->answer("built");

    REQUIRE(stage.until([&] { return solve.closed; }));
    CHECK(solve.messages == std::vector<std::string>{"built"});
    CHECK(stage.until([&] { return client.connection().ended(); }));
    CHECK(stage.until([&] { return stage.lb->idle() && stage.workers[0].connections() == 0; }));
    CHECK(stage.nothing_left());
}

TEST_CASE("a worker that says GOAWAY finishes its build; the next one gets a new connection")
{
    buildkit_stage stage{1};
    auto& worker = stage.workers[0];
    auto& client = stage.client();
    auto& first = client.solve({"a", {}});
    auto& before = client.bridge(exec_path, "a");
    REQUIRE(stage.until([&] { return worker.call(exec_path) != nullptr; }));

    worker.go_away();
    // What the worker sends after it has come once the GOAWAY has.
    worker.call(exec_path)->answer("");
    REQUIRE(stage.until([&] { return before.closed; }));
    auto& second = client.solve({"b", {}});
    REQUIRE(stage.until([&] { return worker.call(solve_path, 1) != nullptr; }));
    worker.call(solve_path, 0)->answer("one");
    worker.call(solve_path, 1)->answer("two");

    REQUIRE(stage.until([&] { return first.closed && second.closed; }));
    CHECK(first.messages == std::vector<std::string>{"one"});
    CHECK(second.messages == std::vector<std::string>{"two"});
}

TEST_CASE("a hard stop cuts builds in every state and counts nothing any more")
{
    boost::asio::io_context context;
    const hanging_port hanging{context};
    auto settings = with_first_worker(tcp_at("127.0.0.1", hanging.number()), 60s);
    buildkit_stage stage{1, settings};
    auto& client = stage.client();
    auto& session = client.session(session_id(1));
    auto& connecting = client.solve({"connecting", session_id(1)});
    REQUIRE(stage.until([&] { return stage.lb->leases() == 1; }));
    auto& running = client.solve({"running", session_id(1)});
    REQUIRE(stage.until([&] { return stage.workers[0].call(solve_path) != nullptr; }));
    auto& held = client.status("no-solve-yet");
    REQUIRE(stage.until([&] { return stage.lb->buildkit().placement.count().held_calls == 1; }));
    const auto begun = clock::now();

    stage.stop_balancer();

    CHECK(clock::now() - begun < 15s);
    CHECK(stage.nothing_left());
    CHECK(stage.lb->connections() == 0);
    CHECK(stage.until([&] { return connecting.closed && running.closed && held.closed && session.outer().closed; }));
    CHECK(stage.until([&] { return stage.workers[0].call(solve_path)->closed; }));
}
