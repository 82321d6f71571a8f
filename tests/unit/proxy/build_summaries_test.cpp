#include <catch2/catch.hpp>

#include "proxy/buildkit/build_record.hpp"

using namespace buildkit_lb;
using namespace buildkit_lb::proxy;
using namespace std::chrono_literals;
using balancer::build_summary;
using stage = build_summary::stage;

namespace {

const time_point start{100h};

std::shared_ptr<build_record> make_build(std::string ref, bool internal = false)
{
    auto made = std::make_shared<build_record>();
    made->ref = std::move(ref);
    made->invocation = "bake";
    made->internal = internal;
    made->arrived = start;
    return made;
}

std::vector<std::string> refs(const std::vector<build_summary>& all)
{
    std::vector<std::string> names;
    for (const auto& b : all) {
        names.push_back(b.ref);
    }
    return names;
}

}  // namespace

TEST_CASE("a build is summed up as it stands: waiting, with its key, in the queue, being sent, running")
{
    const auto build = make_build("ref");
    build->key = "app";
    build->key_source = "context";
    auto s = build->summary("pool", start + 1s);
    CHECK(s.state == stage::queued);
    CHECK(s.key.empty());  // it may be in the making
    CHECK(s.pool == "pool");
    CHECK(s.invocation == "bake");
    CHECK(s.waited == 1s);

    build->key_is_known();
    const auto place = std::make_shared<balancer::waiting_build>();
    place->position = 2;
    place->length = 5;
    build->waits({build_wait_state::reason::worker, {}, place});
    s = build->summary("pool", start + 2s);
    CHECK(s.state == stage::queued);
    CHECK(s.key == "app");
    CHECK(s.key_source == "context");
    CHECK(s.position == 2);
    CHECK(s.length == 5);

    build->waits({});
    build->moves(build_record::motion_state::being_sent);
    s = build->summary("pool", start + 3s);
    CHECK(s.state == stage::active);
    CHECK(s.worker.empty());
    CHECK(s.position == 0);
    CHECK(s.waited == 3s);

    build->placed({"w1", "cache-affinity", "home", false, start + 4s});
    s = build->summary("pool", start + 10s);
    CHECK(s.state == stage::active);
    CHECK(s.worker == "w1");
    CHECK(s.policy == "cache-affinity");
    CHECK(s.reason == "home");
    CHECK(s.waited == 4s);
    CHECK(s.took == 6s);
    CHECK(s.attempts == 1);
    CHECK(s.lost_workers.empty());
}

TEST_CASE("a build that was lost with its worker is told with both, and queued while it waits for another")
{
    const auto build = make_build("ref");
    CHECK_FALSE(build->place());
    build->placed({"w1", "cache-affinity", "home", false, start + 1s});
    build->lost_with("w1");
    build->moves(build_record::motion_state::none);
    build->waits({build_wait_state::reason::worker, {}, std::make_shared<balancer::waiting_build>()});
    auto s = build->summary("pool", start + 2s);
    CHECK(s.state == stage::queued);
    CHECK(s.worker == "w1");
    CHECK(s.attempts == 1);
    CHECK(s.lost_workers == std::vector<std::string>{"w1"});

    build->waits({});
    build->placed({"w2", "cache-affinity", "spill", false, start + 5s});
    s = build->summary("pool", start + 11s);
    CHECK(s.state == stage::active);
    CHECK(s.worker == "w2");
    CHECK(s.reason == "spill");
    CHECK(s.attempts == 2);
    CHECK(s.waited == 1s);  // for its first worker
    CHECK(s.took == 10s);   // since then
    CHECK(build->place()->worker == "w2");
}

TEST_CASE("the latest builds that have ended are kept, the last first, and internal ones are not told")
{
    build_registry registry;
    registry.keep_recent(3);
    const auto running = make_build("running");
    registry.add(running);
    registry.add(make_build("question", true));
    for (int i = 0; i < 5; ++i) {
        const auto build = make_build("b" + std::to_string(i));
        registry.add(build);
        auto how = build->summary("pool", start);
        how.state = stage::ended;
        registry.ended(*build, std::move(how));
        CHECK(registry.find(build->ref) == nullptr);
    }
    const auto internal = make_build("another question", true);
    registry.add(internal);
    registry.ended(*internal, internal->summary("pool", start));
    CHECK(registry.find("another question") == nullptr);
    const auto all = registry.summaries("pool", start);
    CHECK(refs(all) == std::vector<std::string>{"running", "b4", "b3", "b2"});
    CHECK(all[0].state == stage::queued);
    CHECK(all[1].state == stage::ended);

    registry.keep_recent(1);
    CHECK(refs(registry.summaries("pool", start)) == std::vector<std::string>{"running", "b4"});
    registry.keep_recent(0);
    registry.ended(*running, running->summary("pool", start));
    CHECK(registry.summaries("pool", start).empty());
}
