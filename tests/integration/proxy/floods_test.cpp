// Peers that flood a balancer, from both sides, outside and inside of sessions.
#include <catch2/catch.hpp>

#include "support/fake_buildkit.hpp"
#include "support/raw_frames.hpp"

using namespace buildkit_lb;
using namespace buildkit_lb::test;
using namespace std::chrono_literals;
using buildkit::grpc_code;

namespace {

/// Few at once, so that tests are short; a rate that does not matter in a test.
balancer_settings ten_at_once()
{
    balancer_settings settings;
    settings.http2.floods = {.resets = 1,
                             .pings = 1,
                             .settings = 1,
                             .window_updates = 1,
                             .priorities = 1,
                             .empty_frames = 1,
                             .burst_seconds = 30};
    return settings;
}

std::string pings(int count)
{
    std::string all;
    for (int i = 0; i < count; ++i) {
        all += frame(6, 0, 0, "12345678");
    }
    return all;
}

double counted(const balancer_under_test& lb, const std::string& series)
{
    const std::string page = lb.metrics().expose();
    const auto at = page.find("\n" + series + " ");
    return at == std::string::npos ? 0 : std::stod(page.substr(at + series.size() + 2));
}

double protocol_errors(const balancer_under_test& lb, const std::string& kind)
{
    return counted(lb, R"(buildkit_lb_protocol_errors_total{kind=")" + kind + R"(",listener="test"})");
}

}  // namespace

TEST_CASE("a client that floods gets GOAWAY with ENHANCE_YOUR_CALM, and the builds of others go on")
{
    buildkit_stage stage{1, ten_at_once()};
    auto& other = stage.client();
    auto& solve = other.solve({"build-1", {}});
    REQUIRE(stage.until([&] { return stage.workers[0].call(solve_path) != nullptr; }));

    peer attacker = stage.lb->connect();
    REQUIRE(attacker.send(raw_preface() + pings(100)));

    CHECK(goaway_code(attacker) == 0xb);
    CHECK(attacker.wait_for_end() == peer::ending::closed);
    CHECK(protocol_errors(*stage.lb, "ping_flood") == 1);
    stage.workers[0].call(solve_path)->answer("done");
    REQUIRE(stage.until([&] { return solve.closed; }));
    CHECK(solve.status() == grpc_code::ok);
}

TEST_CASE("a request that is refused is counted, and the connection goes on")
{
    balancer_settings settings;
    settings.http2.max_concurrent_streams = 2;
    settings.http2.max_header_list = 10000;
    buildkit_stage stage{1, settings};
    constexpr std::string_view path = "/some.Service/Method";

    peer heavy = stage.lb->connect();
    std::string large = raw_request(1, path).substr(9);
    for (int i = 0; i < 4; ++i) {
        large += literal("x-large", std::string(3000, 'y'));
    }
    REQUIRE(heavy.send(raw_preface() + frame(1, 5, 1, large) + raw_request(3, path)));
    CHECK(stage.until([&] { return protocol_errors(*stage.lb, "header_list") == 1; }));
    CHECK(stage.until([&] { return stage.workers[0].calls().size() == 1; }));

    // It has not said yet that it knows how many streams it may have.
    peer eager = stage.lb->connect();
    REQUIRE(eager.send(raw_preface() + raw_request(1, path) + raw_request(3, path) + raw_request(5, path)));
    CHECK(stage.until([&] { return protocol_errors(*stage.lb, "stream_limit") == 1; }));
    CHECK(stage.until([&] { return stage.workers[0].calls().size() == 3; }));
}

TEST_CASE("a client that floods and reads nothing is closed all the same, and its acknowledgements stay bounded")
{
    balancer_settings settings;
    settings.http2.floods.pings = 1e7;
    buildkit_stage stage{1, settings};
    peer attacker{stage.lb->address(), 4096};
    REQUIRE(attacker.send(raw_preface()));
    // Enough to fill what the kernels keep of the answers.
    const std::string many = pings(10000);
    bool taken = true;
    for (int i = 0; i < 100 && taken; ++i) {
        taken = attacker.send(many);
    }
    CHECK(stage.until([&] { return stage.lb->connections() == 0; }));
    CHECK(protocol_errors(*stage.lb, "ack_flood") == 1);
}

TEST_CASE("streams that a client opens and resets reach a worker up to the limit only")
{
    buildkit_stage stage{1, ten_at_once()};
    peer attacker = stage.lb->connect();
    std::string bytes = raw_preface();
    for (std::uint32_t id = 1; id < 2001; id += 2) {
        bytes += raw_request(id, "/some.service/Method") + frame(3, 0, id, std::string{"\0\0\0\x08", 4});
    }
    (void)attacker.send(bytes);

    CHECK(goaway_code(attacker) == 0xb);
    CHECK(protocol_errors(*stage.lb, "reset_flood") == 1);
    CHECK(stage.peers.never([&] { return stage.workers[0].calls().size() > 32; }));
    CHECK(stage.until([&] { return stage.nothing_left(); }));
}

TEST_CASE("a session in which the client floods ends, its connection and other sessions go on")
{
    buildkit_stage stage{1, ten_at_once()};
    auto& client = stage.client();
    auto& hostile = client.session(session_id(1));
    auto& other = client.session(session_id(2));
    auto& solve = client.solve({"build-1", session_id(2), {session_id(1)}});
    REQUIRE(stage.until([&] { return stage.workers[0].call(solve_path) != nullptr; }));
    REQUIRE(stage.until([&] { return hostile.greeted() && other.greeted(); }));

    hostile.send_raw(pings(100));

    REQUIRE(stage.until([&] { return hostile.outer().ended; }));
    CHECK(hostile.goaway() == http2::error_code::enhance_your_calm);
    CHECK(hostile.outer().status() == grpc_code::resource_exhausted);
    CHECK(hostile.outer().status_message().find("ping_flood") != std::string::npos);
    CHECK(protocol_errors(*stage.lb, "session_ping_flood") == 1);
    auto* const at_worker = stage.workers[0].session(session_id(1));
    REQUIRE(at_worker != nullptr);
    CHECK(stage.until([&] { return at_worker->outer().ended; }));
    CHECK_FALSE(other.outer().ended);
    stage.workers[0].call(solve_path)->answer("done");
    REQUIRE(stage.until([&] { return solve.closed; }));
    CHECK(solve.status() == grpc_code::ok);
}

TEST_CASE("a worker that floods in a session's tunnel is lost: its builds start again elsewhere, the session stays")
{
    auto settings = ten_at_once();
    settings.failover.attempts = 2;
    buildkit_stage stage{2, settings};
    auto& client = stage.client();
    auto& session = client.session(session_id(1));
    auto& solve = client.solve({"build-1", session_id(1)});
    REQUIRE(stage.until([&] { return stage.workers[0].call(solve_path) != nullptr; }));
    REQUIRE(stage.until([&] { return stage.workers[0].session(session_id(1))->greeted(); }));

    stage.workers[0].session(session_id(1))->send_raw(pings(100));

    REQUIRE(stage.until([&] { return stage.workers[1].call(solve_path) != nullptr; }));
    CHECK(stage.workers[1].session(session_id(1)) != nullptr);
    CHECK(stage.until([&] { return stage.workers[0].connections() == 0; }));
    CHECK(counted(*stage.lb, R"(buildkit_lb_worker_protocol_errors_total{kind="session_ping_flood",pool="default",)"
                             R"(worker="w1"})") == 1);
    CHECK_FALSE(session.outer().ended);
    CHECK(protocol_errors(*stage.lb, "session_ping_flood") == 0);
    stage.workers[1].call(solve_path)->answer("done");
    REQUIRE(stage.until([&] { return solve.closed; }));
    CHECK(solve.status() == grpc_code::ok);
}

TEST_CASE("a worker that floods is lost, and its builds start again elsewhere")
{
    auto settings = ten_at_once();
    settings.failover.attempts = 2;
    worker_port hostile;
    settings.workers = {hostile.address()};
    buildkit_stage stage{1, settings};
    auto& solve = stage.client().solve({"build-1", {}});
    peer worker{-1};
    REQUIRE(stage.until([&] { return worker.connected() || (worker = hostile.accept(1ms)).connected(); }));
    REQUIRE(worker.send(frame(4, 0, 0, "") + pings(100)));

    REQUIRE(stage.until([&] { return stage.workers[0].call(solve_path) != nullptr; }));
    CHECK(worker.receive(24).starts_with("PRI"));
    CHECK(goaway_code(worker) == 0xb);
    CHECK(counted(*stage.lb, R"(buildkit_lb_worker_protocol_errors_total{kind="ping_flood",pool="default",)"
                             R"(worker="w1"})") == 1);
    stage.workers[0].call(solve_path)->answer("done");
    REQUIRE(stage.until([&] { return solve.closed; }));
    CHECK(solve.status() == grpc_code::ok);
}
