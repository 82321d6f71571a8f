#include <algorithm>
#include <catch2/catch.hpp>

#include "buildkit/wire/control.pb.h"
#include "support/fake_buildkit.hpp"

using namespace buildkit_lb;
using namespace buildkit_lb::test;
using namespace std::chrono_literals;
using balancer::build_summary;
using stage = build_summary::stage;

namespace {

build_summary told(buildkit_stage& s, const std::string& ref)
{
    auto all = s.lb->buildkit().builds.summaries("default", clock::now());
    const auto found = std::find_if(all.begin(), all.end(), [&](const auto& b) { return b.ref == ref; });
    return found == all.end() ? build_summary{} : *found;
}

std::string steps(int cached, int run)
{
    wire::control::StatusResponse status;
    for (int i = 0; i < cached + run; ++i) {
        auto& vertex = *status.add_vertexes();
        vertex.set_digest("sha256:" + std::to_string(i));
        vertex.mutable_started()->set_seconds(1);
        vertex.mutable_completed()->set_seconds(2);
        vertex.set_cached(i < cached);
    }
    return status.SerializeAsString();
}

}  // namespace

TEST_CASE("a build is told of while it waits, while it runs, and after it has ended")
{
    balancer_settings settings;
    settings.max_builds = 1;
    settings.policy = "cache-affinity";
    buildkit_stage stage_{1, settings};
    auto& worker = stage_.workers[0];
    auto& client = stage_.client();
    client.solve({"first", {}, {}, false, false, std::string(32, 'a')});
    REQUIRE(stage_.until([&] { return worker.call(solve_path) != nullptr; }));
    auto first = told(stage_, "first");
    CHECK(first.state == stage::active);
    CHECK(first.worker == "w1");
    CHECK(first.policy == "cache-affinity");
    CHECK(first.reason == "no-key");
    CHECK(first.invocation == std::string(32, 'a'));

    client.solve({"second", {}});
    client.solve({"internal", {}, {}, true});
    REQUIRE(stage_.until([&] { return told(stage_, "second").position == 1; }));
    const auto second = told(stage_, "second");
    CHECK(second.state == stage::queued);
    CHECK(second.length == 1);
    CHECK(second.worker.empty());
    CHECK(told(stage_, "internal").ref.empty());

    auto& status = client.status("first");
    REQUIRE(stage_.until([&] { return worker.call(status_path) != nullptr && worker.call(status_path)->ended; }));
    worker.call(status_path)->send(steps(3, 2));
    REQUIRE(stage_.until([&] { return told(stage_, "first").steps == 5; }));
    CHECK(told(stage_, "first").cached == 3);
    worker.call(status_path)->finish();
    worker.call(solve_path)->answer("solved");
    REQUIRE(stage_.until([&] { return status.closed && told(stage_, "first").state == stage::ended; }));
    first = told(stage_, "first");
    CHECK(first.result == "ok");
    CHECK(first.code == "OK");
    CHECK(first.worker == "w1");
    CHECK(first.steps == 5);
    CHECK(first.cached == 3);
    CHECK(first.error.empty());

    // The worker's own error; then what the balancer refuses.
    REQUIRE(stage_.until([&] { return told(stage_, "second").state == stage::active; }));
    worker.cut();
    worker.refuse();
    REQUIRE(stage_.until([&] { return told(stage_, "second").state == stage::ended; }));
    CHECK(told(stage_, "second").result == "error");
    CHECK(told(stage_, "second").code == "UNAVAILABLE");
    CHECK_THAT(told(stage_, "second").error, Catch::Contains("w1"));
}
