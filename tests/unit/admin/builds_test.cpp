#include "admin/builds.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

using namespace buildkit_lb;
using namespace buildkit_lb::admin;
using namespace std::chrono_literals;
using balancer::build_summary;
using nlohmann::json;
using stage = build_summary::stage;

namespace {

build_summary named(std::string ref, stage state, std::string pool = "default")
{
    build_summary b;
    b.ref = std::move(ref);
    b.state = state;
    b.pool = std::move(pool);
    b.invocation = "inv";
    b.arrived = std::chrono::system_clock::time_point{1'767'323'045s};
    return b;
}

json page(const std::vector<build_summary>& builds, const std::map<std::string, std::string>& query = {})
{
    const auto answer = builds_page(builds, query, {"default", "arm"});
    REQUIRE(answer.status == 200);
    return json::parse(answer.body);
}

std::vector<std::string> refs(const json& list)
{
    std::vector<std::string> all;
    for (const auto& b : list) {
        all.push_back(b.at("ref"));
    }
    return all;
}

}  // namespace

TEST_CASE("the page of builds tells of each what is known of it, and nothing else")
{
    auto queued = named("q", stage::queued);
    queued.key = "app";
    queued.key_source = "vcs:source";
    queued.waited = 1500ms;
    queued.position = 2;
    queued.length = 3;
    auto active = named("a", stage::active);
    active.worker = "w1";
    active.policy = "cache-affinity";
    active.reason = "home";
    active.waited = 20ms;
    active.took = 61s;
    active.attempts = 2;
    active.lost_workers = {"w2"};
    active.steps = 7;
    active.cached = 3;
    auto ended = named("e", stage::ended, "arm");
    ended.linked = true;
    ended.result = "error";
    ended.code = "UNAVAILABLE";
    ended.error = "worker w1 was lost";
    CHECK(page({ended, active, queued}) == json::parse(R"({
        "active": [{"ref": "a", "state": "active", "pool": "default", "invocation": "inv", "worker": "w1",
            "policy": "cache-affinity", "reason": "home", "linked": false, "arrived": "2026-01-02T03:04:05Z",
            "waited": 0.02, "attempts": 2, "lost_workers": ["w2"], "duration": 61.0, "steps": 7, "cached": 3}],
        "queued": [{"ref": "q", "state": "queued", "pool": "default", "invocation": "inv", "key": "app",
            "key_source": "vcs:source", "linked": false, "arrived": "2026-01-02T03:04:05Z", "waited": 1.5,
            "position": 2, "length": 3}],
        "recent": [{"ref": "e", "state": "ended", "pool": "arm", "invocation": "inv", "linked": true,
            "arrived": "2026-01-02T03:04:05Z", "waited": 0.0, "attempts": 0, "duration": 0.0, "steps": 0, "cached": 0,
            "result": "error", "code": "UNAVAILABLE", "error": "worker w1 was lost"}]})"));
}

TEST_CASE("queued builds are listed in the order of the queue, active ones by age, recent ones as they are given")
{
    std::vector<build_summary> builds;
    for (const std::uint32_t position : {3U, 1U, 2U}) {
        builds.push_back(named("q" + std::to_string(position), stage::queued));
        builds.back().position = position;
    }
    for (const int age : {2, 3, 1}) {
        builds.push_back(named("a" + std::to_string(age), stage::active));
        builds.back().arrived -= age * 1s;
        builds.push_back(named("e" + std::to_string(age), stage::ended));
        builds.back().arrived -= age * 1s;
    }
    const auto body = page(builds);
    CHECK(refs(body["queued"]) == std::vector<std::string>{"q1", "q2", "q3"});
    CHECK(refs(body["active"]) == std::vector<std::string>{"a3", "a2", "a1"});
    CHECK(refs(body["recent"]) == std::vector<std::string>{"e2", "e3", "e1"});
}

TEST_CASE("builds can be asked for by pool and by state")
{
    const std::vector<build_summary> builds{named("a", stage::active), named("b", stage::active, "arm"),
                                            named("c", stage::ended)};
    CHECK(refs(page(builds, {{"pool", "arm"}})["active"]) == std::vector<std::string>{"b"});
    CHECK(page(builds, {{"pool", "arm"}})["recent"].empty());
    CHECK(page(builds, {{"state", "ended"}})["active"].empty());
    CHECK(refs(page(builds, {{"state", "ended"}})["recent"]) == std::vector<std::string>{"c"});
    CHECK(refs(page(builds, {{"state", "active"}, {"pool", "default"}})["active"]) == std::vector<std::string>{"a"});

    CHECK(builds_page(builds, {{"pool", "none"}}, {"default"}).status == 404);
    CHECK(builds_page(builds, {{"state", "old"}}, {"default"}).status == 400);
    CHECK(builds_page(builds, {{"sort", "age"}}, {"default"}).status == 400);
}

TEST_CASE("what is no UTF-8 in a build does not break the page")
{
    auto odd = named("\xff\xfe", stage::ended);
    odd.error = "no \xc3";
    CHECK(page({odd})["recent"].size() == 1);
}
