#include "simulation/simulation.hpp"

#include <catch2/catch.hpp>
#include <numeric>

using namespace buildkit_lb::simulation;

namespace {

settings small()
{
    settings s;
    s.workers = 10;
    s.builds = 20'000;
    return s;
}

}  // namespace

TEST_CASE("in a simulated pool cache-affinity keeps caches warm, and others don't")
{
    const settings s = small();
    const workload load = make_workload(s);
    const ideal best = ideal_of(load);
    const result turns = simulate(s, load, "round-robin");
    const result least = simulate(s, load, "least-active-builds");
    const result affinity = simulate(s, load, "cache-affinity");

    for (const result* r : {&turns, &least, &affinity}) {
        INFO(r->policy);
        CHECK(r->built + r->rejected == s.builds);
        CHECK(r->warm_share <= best.warm_share);
        CHECK(r->mean_time > best.mean_time * 0.99);
        CHECK(r->scaled.size() == 4);
    }
    CHECK(affinity.rejected == 0);
    CHECK(affinity.warm_share >= 0.9 * best.warm_share);
    CHECK(affinity.warm_share > turns.warm_share + 0.2);
    CHECK(affinity.warm_share > least.warm_share + 0.2);
    CHECK(affinity.p95_wait <= least.p95_wait);
    CHECK(affinity.mean_time < least.mean_time);
    // The others use all workers alike.
    CHECK(turns.busiest < 1.1);
    CHECK(least.busiest < 1.2);
}

TEST_CASE("in a simulated pool few keys move when workers come and go, and those that must do")
{
    settings s = small();
    s.load = 0.1;
    const workload load = make_workload(s);
    const result affinity = simulate(s, load, "cache-affinity");
    for (const auto& event : affinity.scaled) {
        INFO(event.what);
        // A lost worker's keys all move, and projects are few: it may have had a few more than its share.
        CHECK(event.moved <= event.bound() + (event.what.front() == '+' ? 0 : 0.05));
        CHECK(event.moved_without_memory <= event.bound());
        CHECK(event.moved_without_memory > 0.5 * static_cast<double>(event.changed) / 12);
    }
    CHECK(affinity.scaled.at(1).what == "-1");
    CHECK(affinity.scaled.at(1).moved > 0);
    // With a memory nothing moves to a worker that is added while all have room.
    CHECK(affinity.scaled.at(0).moved < 0.01);
    const result turns = simulate(s, load, "round-robin");
    CHECK(turns.scaled.at(0).moved_without_memory > 0.5);
}

TEST_CASE("a simulation gives the same each time, and differs with the seed")
{
    settings s = small();
    s.builds = 3000;
    const result once = simulate(s, make_workload(s), "cache-affinity");
    const result again = simulate(s, make_workload(s), "cache-affinity");
    CHECK(once.warm_share == again.warm_share);
    CHECK(once.mean_time == again.mean_time);
    CHECK(once.spread == again.spread);
    s.seed = 2;
    CHECK(simulate(s, make_workload(s), "cache-affinity").mean_time != once.mean_time);
}

TEST_CASE("in a simulated pool that is too small builds wait, are refused, and every one is accounted for")
{
    settings s = small();
    s.builds = 10'000;
    s.load = 0.9;
    s.queue_length = 50;
    const workload load = make_workload(s);
    for (const char* policy : {"least-active-builds", "cache-affinity"}) {
        INFO(policy);
        const result r = simulate(s, load, policy);
        CHECK(r.rejected > 0);
        CHECK(r.p95_wait > 0);
        CHECK(r.built + r.rejected == s.builds);
        const auto in_hours = std::accumulate(r.hours.begin(), r.hours.end(), std::size_t{0},
                                              [](std::size_t sum, const hour& h) { return sum + h.builds; });
        CHECK(in_hours <= r.built);
        CHECK(in_hours > r.built / 2);
    }
}
