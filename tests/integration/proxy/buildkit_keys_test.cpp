#include <catch2/catch.hpp>

#include "buildkit/methods.hpp"
#include "buildkit/wire/control.pb.h"
#include "buildkit/wire/gateway.pb.h"
#include "buildkit/wire/ops.pb.h"
#include "support/fake_buildkit.hpp"

using namespace buildkit_lb;
using namespace buildkit_lb::test;
using namespace std::chrono_literals;

namespace {

balancer_settings by_key()
{
    balancer_settings settings;
    settings.policy = "cache-affinity";
    return settings;
}

fields shared_key(std::string key)
{
    return {{std::string{buildkit::session_shared_key_header}, std::move(key)}};
}

/// A definition that takes one repository, as buildctl sends what it reads on stdin.
std::string raw_solve(const std::string& url)
{
    wire::ops::Op op;
    op.mutable_source()->set_identifier("git://example.test/team/app.git#main");
    (*op.mutable_source()->mutable_attrs())["git.fullurl"] = url;
    wire::gateway::SolveRequest request;
    request.mutable_definition()->add_def(op.SerializeAsString());
    return request.SerializeAsString();
}

/// What the client is told of its build's place, once it is told.
std::string told(buildkit_stage& stage, grpc_stream& status)
{
    REQUIRE(stage.until([&] { return !status.messages.empty(); }));
    wire::control::StatusResponse first;
    REQUIRE(first.ParseFromString(status.messages[0]));
    REQUIRE(first.vertexes_size() == 1);
    return first.vertexes(0).name();
}

}  // namespace

TEST_CASE("the key of a session counts also when the session comes after its Solve")
{
    buildkit_stage stage{3, by_key()};
    auto& client = stage.client();
    auto& status = client.status("build-1");
    client.solve({"build-1", session_id(1), {session_id(2)}});
    CHECK(stage.peers.never([&] { return stage.lb->leases() != 0; }));

    client.session(session_id(1), shared_key(""));
    client.session(session_id(2), shared_key("app:node"));

    CHECK_THAT(told(stage, status), Catch::Contains("app") && Catch::Contains("shared-key"));
    client.connection().close();
    CHECK(stage.until([&] { return stage.nothing_left(); }));
}

TEST_CASE("the key of a definition without a frontend is found in its LLBBridge/Solve, without credentials")
{
    buildkit_stage stage{3, by_key()};
    auto& client = stage.client();
    client.session(session_id(1), shared_key(""));
    auto& status = client.status("build-1");
    client.solve({"build-1", session_id(1)});
    client.bridge(llb_solve_path, "build-1", raw_solve("https://robot:s3cret@Example.test/team/app.git"));

    const auto line = told(stage, status);
    CHECK_THAT(line, Catch::Contains("example.test/team/app") && !Catch::Contains("s3cret"));
    client.connection().close();
    CHECK(stage.until([&] { return stage.nothing_left(); }));
}

TEST_CASE("a build whose key does not come begins without one; a client's own build waits for none")
{
    buildkit_stage stage{1, by_key()};
    auto& client = stage.client();
    client.session(session_id(1), shared_key(""));
    client.solve({.ref = "own", .session = session_id(1), .internal = true});
    const auto begun = clock::now();
    REQUIRE(stage.until([&] { return stage.workers[0].call(solve_path) != nullptr; }));
    const auto own = clock::now() - begun;

    client.solve({"build-1", session_id(1)});
    REQUIRE(stage.until([&] { return stage.workers[0].call(solve_path, 1) != nullptr; }));
    CHECK(own < 1s);
    CHECK_THAT(stage.lb->metrics().expose(), Catch::Contains(R"(reason="no-key")"));
}

TEST_CASE("a client that leaves while its key is waited for leaves nothing behind")
{
    buildkit_stage stage{1, by_key()};
    auto& client = stage.client();
    client.solve({"build-1", session_id(1)});
    REQUIRE(stage.until([&] { return stage.lb->buildkit().placement.count().active == 1; }));
    client.connection().close();
    CHECK(stage.until([&] { return stage.nothing_left(); }));
    CHECK(stage.workers[0].calls().empty());
}
