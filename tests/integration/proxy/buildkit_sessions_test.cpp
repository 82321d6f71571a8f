#include <catch2/catch.hpp>

#include "buildkit/methods.hpp"
#include "support/fake_buildkit.hpp"

using namespace buildkit_lb;
using namespace buildkit_lb::test;
using namespace std::chrono_literals;
using buildkit::grpc_code;

namespace {

constexpr std::string_view copy_path = "/moby.filesync.v1.FileSync/DiffCopy";
const std::string shared = session_id(7);

/// Two workers, on each of them a build that names the session `shared`.
struct shared_session {
    explicit shared_session(balancer_settings settings = {}) : stage{2, std::move(settings)}, client{stage.client()}
    {
        tunnel = &client.session(shared);
        for (const char* ref : {"a", "b"}) {
            solves.push_back(&client.solve({ref, {}, {shared}}));
        }
        REQUIRE(stage.until([&] { return at(0).call(solve_path) != nullptr && at(1).call(solve_path) != nullptr; }));
        REQUIRE(stage.until([&] { return at(0).session(shared)->greeted() && at(1).session(shared)->greeted(); }));
    }

    fake_worker& at(std::size_t index) { return stage.workers[index]; }

    /// True when the worker reaches the client through the session.
    bool works(std::size_t index)
    {
        auto& call = at(index).session(shared)->call(copy_path);
        const auto before = tunnel->count();
        if (!stage.until([&] { return tunnel->count() == before + 1; })) {
            return false;
        }
        tunnel->served(before).answer("here");
        return stage.until([&] { return call.closed; }) && call.messages == std::vector<std::string>{"here"};
    }

    buildkit_stage stage;
    fake_client& client;
    tunnel_end* tunnel = nullptr;
    std::vector<grpc_stream*> solves;
};

}  // namespace

TEST_CASE("a session is greeted at once, and no worker gets it before a build needs it")
{
    buildkit_stage stage{2};
    auto& client = stage.client();

    auto& session = client.session(session_id(1));

    REQUIRE(stage.until([&] { return session.greeted(); }));
    CHECK(session.outer().answered);
    CHECK(stage.lb->buildkit().sessions.size() == 1);
    CHECK(stage.peers.never([&] { return stage.workers[0].connections() + stage.workers[1].connections() != 0; }));
}

TEST_CASE("the worker has its build's session before Solve, opened with the client's own headers")
{
    buildkit_stage stage{1};
    auto& client = stage.client();
    const std::string uuid = session_id(1);
    client.session(uuid, {{std::string{buildkit::session_method_header}, "/moby.filesync.v1.Auth/Credentials"},
                          {std::string{buildkit::session_method_header}, ""},
                          {std::string{buildkit::session_method_header}, std::string{copy_path}},
                          {std::string{buildkit::session_shared_key_header}, "context:abc"}});

    client.solve({"build-1", uuid});
    stage.workers[0].on_call = [&](grpc_stream& call) {
        if (call.path() == solve_path) {
            CHECK(stage.workers[0].session(uuid) != nullptr);
        }
    };
    REQUIRE(stage.until([&] { return stage.workers[0].call(solve_path) != nullptr; }));

    auto* at_worker = stage.workers[0].session(uuid);
    REQUIRE(at_worker != nullptr);
    std::vector<std::string> methods;
    for (const auto& h : at_worker->outer().request) {
        if (h.name == buildkit::session_method_header) {
            methods.emplace_back(h.value);
        }
    }
    CHECK(methods == std::vector<std::string>{"/moby.filesync.v1.Auth/Credentials", "", std::string{copy_path}});
    CHECK(at_worker->outer().request.get(buildkit::session_shared_key_header) == "context:abc");
}

TEST_CASE("a session that comes after its Solve is waited for")
{
    buildkit_stage stage{1};
    auto& client = stage.client();
    client.solve({"build-1", session_id(1)});
    CHECK(stage.peers.never([&] { return stage.workers[0].call(solve_path) != nullptr; }));

    client.session(session_id(1));

    REQUIRE(stage.until([&] { return stage.workers[0].call(solve_path) != nullptr; }));
    CHECK(stage.workers[0].session(session_id(1)) != nullptr);
}

TEST_CASE("a session on another connection and thread than its build's is offered all the same")
{
    buildkit_stage stage{1};
    auto& one = stage.client();
    REQUIRE(stage.until([&] { return stage.lb->connections() == 1; }));
    auto& two = stage.client();
    REQUIRE(stage.until([&] { return stage.lb->connections() == 2; }));
    auto& session = one.session(session_id(1));

    auto& solve = two.solve({"build-1", session_id(1)});

    REQUIRE(stage.until([&] { return stage.workers[0].call(solve_path) != nullptr; }));
    auto* at_worker = stage.workers[0].session(session_id(1));
    REQUIRE(at_worker != nullptr);
    auto& call = at_worker->call(copy_path);
    REQUIRE(stage.until([&] { return session.count() == 1; }));
    session.served(0).answer("here");
    REQUIRE(stage.until([&] { return call.closed; }));
    CHECK(call.messages == std::vector<std::string>{"here"});
    stage.workers[0].call(solve_path)->answer({});
    CHECK(stage.until([&] { return solve.closed; }));
}

TEST_CASE("a stream in a session passes whole: request, both bodies, trailers")
{
    shared_session s;
    auto& asked = s.at(0).session(shared)->call(copy_path);
    asked.send("which files");
    REQUIRE(s.stage.until([&] { return s.tunnel->count() == 1 && s.tunnel->served(0).messages.size() == 1; }));
    auto& served = s.tunnel->served(0);
    CHECK(served.path() == copy_path);
    CHECK(served.request.get("te") == "trailers");
    CHECK(served.messages[0] == "which files");

    served.send("this one");
    REQUIRE(s.stage.until([&] { return asked.messages.size() == 1; }));
    CHECK(asked.messages[0] == "this one");
    asked.send("thanks");
    asked.end();
    REQUIRE(s.stage.until([&] { return served.ended; }));
    CHECK(served.messages == std::vector<std::string>{"which files", "thanks"});
    served.finish(grpc_code::permission_denied, "no more", {{"x-custom", "kept"}});
    REQUIRE(s.stage.until([&] { return asked.closed; }));
    CHECK(asked.status() == grpc_code::permission_denied);
    CHECK(asked.status_message() == "no more");
    CHECK(asked.trailers.get("x-custom") == "kept");
}

TEST_CASE("megabytes pass through a session, and a worker that does not read holds up no other")
{
    shared_session s;
    const std::string piece(64 * 1024, 'd');
    constexpr std::size_t pieces = 64;
    auto& stalled = s.at(0).session(shared)->call(copy_path);
    stalled.holds_credit = true;
    auto& reading = s.at(1).session(shared)->call(copy_path);
    REQUIRE(s.stage.until([&] { return s.tunnel->count() == 2; }));

    for (std::size_t i = 0; i < pieces; ++i) {
        s.tunnel->served(0).send(piece);
        s.tunnel->served(1).send(piece);
    }
    s.tunnel->served(0).finish();
    s.tunnel->served(1).finish();

    // Which of the two served streams is whose does not matter: both send the same.
    REQUIRE(s.stage.until([&] { return reading.closed; }));
    CHECK(reading.messages == std::vector<std::string>(pieces, piece));
    CHECK(stalled.messages.size() < pieces);
    CHECK(s.works(0));
}

TEST_CASE("a reset inside a session passes both ways with its code")
{
    shared_session s;
    auto& by_client = s.at(0).session(shared)->call(copy_path);
    REQUIRE(s.stage.until([&] { return s.tunnel->count() == 1; }));
    s.tunnel->served(0).reset(http2::error_code::cancel);
    REQUIRE(s.stage.until([&] { return by_client.closed; }));
    CHECK(by_client.reset_by_peer == http2::error_code::cancel);

    auto& by_worker = s.at(0).session(shared)->call(copy_path);
    REQUIRE(s.stage.until([&] { return s.tunnel->count() == 2; }));
    by_worker.reset(http2::error_code::cancel);
    REQUIRE(s.stage.until([&] { return s.tunnel->served(1).closed; }));
    CHECK(s.tunnel->served(1).reset_by_peer == http2::error_code::cancel);
    CHECK(s.works(0));
}

TEST_CASE("a session shared by builds on two workers is offered to each exactly once")
{
    shared_session s;
    CHECK(s.works(0));
    CHECK(s.works(1));

    // Two more builds with the same session, one on each worker.
    s.client.solve({"c", shared});
    s.client.solve({"d", shared, {shared}});
    REQUIRE(s.stage.until([&] { return s.at(0).call(solve_path, 1) && s.at(1).call(solve_path, 1); }));

    CHECK(s.at(0).sessions().size() == 1);
    CHECK(s.at(1).sessions().size() == 1);
    CHECK(s.works(0));
    CHECK(s.works(1));
}

TEST_CASE("a client that ends its session is told so at once, and each worker sees the half-close")
{
    shared_session s;
    s.at(0).keeps_sessions = true;
    s.at(1).keeps_sessions = true;
    auto& open_stream = s.at(0).session(shared)->call(copy_path);
    REQUIRE(s.stage.until([&] { return s.tunnel->count() == 1; }));
    auto& outer = s.tunnel->outer();

    outer.end();

    REQUIRE(s.stage.until([&] { return outer.closed; }, 5s));
    CHECK(outer.status() == grpc_code::ok);
    CHECK_FALSE(outer.reset_by_peer.has_value());
    CHECK(s.stage.lb->buildkit().sessions.size() == 0);
    for (std::size_t i = 0; i < 2; ++i) {
        auto& at_worker = s.at(i).session(shared)->outer();
        REQUIRE(s.stage.until([&] { return at_worker.ended; }));
        CHECK_FALSE(at_worker.closed);
        CHECK_FALSE(at_worker.reset_by_peer.has_value());
        at_worker.finish();
        CHECK(s.stage.until([&] { return at_worker.closed; }));
        CHECK_FALSE(at_worker.reset_by_peer.has_value());
    }
    CHECK(s.stage.until([&] { return open_stream.closed; }));
    // The builds themselves go on.
    CHECK(s.stage.lb->leases() == 2);
    s.at(0).call(solve_path)->answer({});
    s.at(1).call(solve_path)->answer({});
    CHECK(s.stage.until([&] { return s.solves[0]->closed && s.solves[1]->closed; }));
    CHECK(s.stage.until([&] { return s.stage.nothing_left(); }));
}

TEST_CASE("a session that is opened a second time under the same uuid is refused while the first lives")
{
    shared_session s;

    auto& second = s.client.session(shared);

    REQUIRE(s.stage.until([&] { return second.outer().closed; }));
    CHECK(second.outer().status() == grpc_code::already_exists);
    CHECK(s.works(0));
    CHECK(s.works(1));
}

TEST_CASE("a client that disconnects takes its session off every worker")
{
    shared_session s;

    s.client.connection().cut();

    for (std::size_t i = 0; i < 2; ++i) {
        CHECK(s.stage.until([&] { return s.at(i).session(shared)->outer().closed; }));
        CHECK(s.stage.until([&] { return s.at(i).call(solve_path)->closed; }));
        CHECK(s.stage.until([&] { return s.at(i).connections() == 0; }));
    }
    CHECK(s.stage.until([&] { return s.stage.nothing_left() && s.stage.lb->idle(); }));
}

TEST_CASE("bytes in a tunnel that are no tunnel end that session and nothing else")
{
    shared_session s;
    const std::string other = session_id(8);
    SECTION("from the client")
    {
        auto& odd = s.client.connection().open(session_path, {{std::string{buildkit::session_id_header}, other}});
        odd.send("\xff\xff\xff\xff\xff\xff");
        REQUIRE(s.stage.until([&] { return odd.closed; }));
        CHECK(s.stage.lb->buildkit().sessions.size() == 1);
    }
    SECTION("from a worker")
    {
        s.at(0).session(shared)->outer().send("\xff\xff\xff\xff\xff\xff");
        REQUIRE(s.stage.until([&] { return s.at(0).session(shared)->outer().closed; }));
    }
    CHECK(s.works(1));
}
