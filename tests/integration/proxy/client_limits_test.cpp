#include <catch2/catch.hpp>

#include "common/deflated.hpp"
#include "support/fake_buildkit.hpp"

using namespace buildkit_lb;
using namespace buildkit_lb::test;
using buildkit::grpc_code;

namespace {

bool counted(const buildkit_stage& stage, const std::string& limit)
{
    return stage.lb->metrics().expose().find("buildkit_lb_client_limit_refusals_total{limit=\"" + limit +
                                             "\",pool=\"default\"} 1\n") != std::string::npos;
}

}  // namespace

TEST_CASE("a client has so many sessions at once, and others have theirs")
{
    balancer_settings settings;
    settings.per_client.sessions = 2;
    buildkit_stage stage{1, settings};
    auto& client = stage.client();
    auto& first = client.session(session_id(1));
    auto& second = client.session(session_id(2));
    REQUIRE(stage.until([&] { return first.greeted() && second.greeted(); }));

    auto& third = client.session(session_id(3));
    REQUIRE(stage.until([&] { return third.outer().status().has_value(); }));
    CHECK(third.outer().status() == grpc_code::resource_exhausted);
    CHECK_THAT(third.outer().status_message(), Catch::Contains("limits.sessions_per_client"));
    CHECK(counted(stage, "sessions"));

    auto& of_another = stage.client().session(session_id(3));
    CHECK(stage.until([&] { return of_another.greeted(); }));
    first.outer().end();
    REQUIRE(stage.until([&] { return first.outer().closed; }));
    auto& fourth = client.session(session_id(4));
    CHECK(stage.until([&] { return fourth.greeted(); }));
}

TEST_CASE("a client has so many calls that wait for their builds, and none of those that run")
{
    balancer_settings settings;
    settings.per_client.held_calls = 2;
    buildkit_stage stage{1, settings};
    auto& client = stage.client();
    // What waits no more is not counted.
    client.solve({"running", {}});
    REQUIRE(stage.until([&] { return stage.workers[0].call(solve_path) != nullptr; }));
    for (int i = 0; i < 3; ++i) {
        client.bridge(llb_return_path, "running");
    }
    REQUIRE(stage.until([&] { return stage.workers[0].call(llb_return_path, 2) != nullptr; }));

    client.bridge(llb_return_path, "to come");
    client.bridge(llb_return_path, "to come");
    REQUIRE(stage.until([&] { return stage.lb->buildkit().placement.count().held_calls == 2; }));
    auto& third = client.bridge(llb_return_path, "to come");
    REQUIRE(stage.until([&] { return third.closed; }));
    CHECK(third.status() == grpc_code::resource_exhausted);
    CHECK_THAT(third.status_message(), Catch::Contains("limits.held_calls_per_client"));
    CHECK(counted(stage, "held_calls"));
    CHECK(stage.lb->buildkit().placement.count().held_calls == 2);

    // Another client's are its own, and once these are released there is room again.
    stage.client().bridge(llb_return_path, "to come");
    REQUIRE(stage.until([&] { return stage.lb->buildkit().placement.count().held_calls == 3; }));
    client.solve({"to come", {}});
    REQUIRE(stage.until([&] { return stage.lb->buildkit().placement.count().held_calls == 0; }));
    client.bridge(llb_return_path, "later");
    CHECK(stage.until([&] { return stage.lb->buildkit().placement.count().held_calls == 1; }));
}

TEST_CASE("a client has so many builds in the queue, and leaves room for others")
{
    balancer_settings settings;
    settings.max_builds = 1;
    settings.per_client.queued_builds = 2;
    buildkit_stage stage{1, settings};
    auto& pool = stage.lb->pool();
    auto& client = stage.client();
    client.solve({"running", {}});
    REQUIRE(stage.until([&] { return stage.workers[0].call(solve_path) != nullptr; }));
    client.solve({"q1", {}});
    client.solve({"q2", {}});
    REQUIRE(stage.until([&] { return pool.queue_length() == 2; }));

    auto& third = client.solve({"q3", {}});
    REQUIRE(stage.until([&] { return third.closed; }));
    CHECK(third.status() == grpc_code::resource_exhausted);
    CHECK_THAT(third.status_message(), Catch::Contains("limits.queued_builds_per_client"));
    CHECK(counted(stage, "queued_builds"));
    CHECK(pool.queue_length() == 2);

    stage.client().solve({"of another", {}});
    REQUIRE(stage.until([&] { return pool.queue_length() == 3; }));
    stage.workers[0].call(solve_path)->answer("");
    REQUIRE(stage.until([&] { return stage.workers[0].call(solve_path, 1) != nullptr; }));
    client.solve({"q4", {}});
    CHECK(stage.until([&] { return pool.queue_length() == 3; }));
}

TEST_CASE("a message that is read has a bound, also inflated")
{
    balancer_settings settings;
    settings.per_client.message_size = 64 << 10;
    buildkit_stage stage{1, settings};
    auto& client = stage.client();
    // An unknown field of so many bytes, after the Ref.
    const auto solve = [](std::size_t size) {
        std::string message{"\x0a\x01r\xfa\x01", 5};
        message += static_cast<char>(0x80U | (size & 0x7fU));
        message += static_cast<char>(0x80U | (size >> 7U & 0x7fU));
        message += static_cast<char>(size >> 14U);
        return message + std::string(size, 'x');
    };
    const auto refused = [&](grpc_stream& call) {
        REQUIRE(stage.until([&] { return call.closed; }));
        CHECK(call.status() == grpc_code::resource_exhausted);
        CHECK_THAT(call.status_message(), Catch::Contains("limits.message_size"));
    };
    client.connection().call(solve_path, solve(60000));
    REQUIRE(stage.until([&] { return stage.workers[0].call(solve_path) != nullptr; }));

    refused(client.connection().call(solve_path, solve(66000)));
    CHECK(counted(stage, "message_size"));
    auto& squeezed = client.connection().open(solve_path, {{"grpc-encoding", "gzip"}});
    squeezed.send_raw(buildkit::framed(deflated(solve(66000), gzip), true));
    squeezed.end();
    refused(squeezed);
    CHECK(stage.workers[0].call(solve_path, 1) == nullptr);
}
