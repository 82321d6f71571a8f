#include "balancer/policies/cache_affinity.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <map>
#include <random>

#include "balancer/policies/registry.hpp"
#include "balancer/policies/rendezvous.hpp"
#include "balancer/pool.hpp"

using namespace buildkit_lb;
using namespace buildkit_lb::balancer;
using namespace std::chrono_literals;

namespace {

worker_settings named(std::string name, std::uint32_t weight = 1, std::uint32_t max_builds = 0)
{
    worker_settings s;
    s.name = std::move(name);
    s.weight = worker_weight{weight};
    s.max_builds = max_builds;
    return s;
}

std::vector<worker_settings> workers(std::size_t count)
{
    std::vector<worker_settings> all;
    for (std::size_t i = 0; i < count; ++i) {
        all.push_back(named("w" + std::to_string(i + 1)));
    }
    return all;
}

/// A pool with the policy, and the picks that builds hold.
struct stage {
    explicit stage(std::vector<worker_settings> made, const affinity_settings& settings = {})
        : pool_{std::make_shared<pool>("default", std::move(made), make_policy("cache-affinity", settings))}
    {
    }

    pick choose(const std::string& key)
    {
        pick_context context;
        context.key = key;
        context.now = now;
        auto chosen = pool_->pick_worker(context);
        REQUIRE(chosen);
        return std::move(*chosen);
    }

    /// Builds `key` and ends it well; where, and why there.
    std::pair<std::string, std::string> build(const std::string& key)
    {
        const pick chosen = choose(key);
        pool_->build_succeeded(key, chosen.worker()->name(), 0.5, now);
        return {chosen.worker()->name(), std::string{chosen.reason}};
    }

    void set_up(const std::string& name, bool up)
    {
        const auto snapshot = pool_->snapshot();
        for (const auto& view : snapshot->workers) {
            if (view.worker->name() == name) {
                pool_->set_health(*view.worker, up ? worker_health::up : worker_health::down, {});
            }
        }
    }

    std::shared_ptr<pool> pool_;
    time_point now{};
};

std::map<std::string, std::string> homes(stage& s, int keys)
{
    std::map<std::string, std::string> all;
    for (int k = 0; k < keys; ++k) {
        const std::string key = "project-" + std::to_string(k);
        all[key] = s.choose(key).worker()->name();
    }
    return all;
}

}  // namespace

TEST_CASE("the hash of a key never changes: replicas and later versions agree")
{
    CHECK(rendezvous_hash("") == 0xf52a15e9a9b5e89bU);
    CHECK(rendezvous_hash("example.test/team/app") == 0xecfb67fd93a01defU);
    CHECK(rendezvous_hash("a") != rendezvous_hash("b"));
}

TEST_CASE("with an empty memory every replica chooses alike, and keys spread by weight")
{
    stage one{{named("a"), named("b"), named("c", 2)}};
    stage other{{named("c", 2), named("a"), named("b")}};
    const auto here = homes(one, 4000);
    CHECK(here == homes(other, 4000));
    std::map<std::string, int> counts;
    for (const auto& [key, home] : here) {
        ++counts[home];
    }
    CHECK(std::abs(counts["a"] - 1000) < 120);
    CHECK(std::abs(counts["b"] - 1000) < 120);
    CHECK(std::abs(counts["c"] - 2000) < 150);
}

TEST_CASE("a new worker takes only its share of the keys, and a lost one loses only its own")
{
    stage before{workers(10)};
    stage after{workers(11)};
    const auto old_homes = homes(before, 5000);
    const auto new_homes = homes(after, 5000);
    int moved = 0;
    for (const auto& [key, home] : new_homes) {
        if (home != old_homes.at(key)) {
            ++moved;
            CHECK(home == "w11");
        }
    }
    CHECK(moved < 5000 / 11 + 5000 / 50);
    CHECK(moved > 5000 / 11 - 5000 / 50);
}

TEST_CASE("a key that was built stays where it is warm when the pool grows, and goes home after an absence")
{
    stage s{workers(3)};
    const auto [home, why] = s.build("app");
    CHECK(why == "new");
    CHECK(s.build("app") == std::pair{home, std::string{"home"}});

    s.set_up(home, false);
    const auto [second, why_there] = s.build("app");
    CHECK(second != home);
    CHECK(why_there == "spill");
    CHECK(s.build("app") == std::pair{second, std::string{"warm"}});

    s.set_up(home, true);
    CHECK(s.build("app") == std::pair{home, std::string{"home"}});
}

TEST_CASE("builds of one project stay together up to the bound, then spill to the next warm worker, and come back")
{
    stage s{workers(3), {.load_factor = 1.25, .spill_after = 2}};
    const auto home = s.build("app").first;
    std::vector<pick> running;
    for (int i = 0; i < 2; ++i) {
        running.push_back(s.choose("app"));
        CHECK(running.back().worker()->name() == home);
    }
    running.push_back(s.choose("app"));
    const auto other = running.back().worker()->name();
    CHECK(other != home);
    CHECK(running.back().reason == "spill");
    s.pool_->build_succeeded("app", running.back().worker()->name(), 0, s.now + 1s);
    running.push_back(s.choose("app"));
    CHECK(running.back().worker()->name() == other);
    CHECK(running.back().reason == "warm");
    running.clear();
    CHECK(s.build("app").first == home);
}

TEST_CASE("no worker is over its bound while others have room")
{
    const auto seed = GENERATE(range(1U, 6U));
    std::mt19937 random{seed};
    stage s{{named("a"), named("b", 2), named("c", 3), named("d")}, {.load_factor = 1.25, .spill_after = 1}};
    std::vector<pick> running;
    for (int i = 0; i < 400; ++i) {
        // Most builds are of one hot project.
        running.push_back(s.choose(random() % 4 != 0 ? "hot" : "k" + std::to_string(random() % 50)));
        if (running.size() > 40) {
            running.erase(running.begin() + static_cast<std::ptrdiff_t>(random() % running.size()));
        }
        if (i > 100) {
            const auto now = s.pool_->snapshot();
            for (const auto& view : now->workers) {
                const double share = static_cast<double>(running.size()) * view.worker->weight().value / 7;
                CHECK(view.worker->active_builds() <= std::ceil(1.25 * (share + 1)) + 2);
            }
        }
    }
}

TEST_CASE("a build without a key goes to the least active worker")
{
    stage s{workers(2)};
    const auto first = s.choose({});
    const auto second = s.choose({});
    CHECK(first.worker() != second.worker());
    CHECK(first.reason == "no-key");
}

TEST_CASE("a key that was not built for long is cold, and the memory is bounded")
{
    stage s{workers(3), {.memory = 2, .warmth_ttl = 24h}};
    s.build("a");
    CHECK(s.build("a").second == "home");
    s.now += 25h;
    CHECK(s.build("a").second == "new");
    s.build("b");
    s.build("a");
    s.build("c");  // b is the one that was built longest ago
    CHECK(s.pool_->remembered_keys() == 2);
    CHECK(s.build("a").second == "home");
    CHECK(s.build("b").second == "new");
}

TEST_CASE("a worker at its cap is passed over, whatever it has in its cache")
{
    stage s{{named("a", 1, 1), named("b", 1, 1)}};
    const auto home = s.build("app").first;
    const auto at_home = s.choose("app");
    CHECK(at_home.worker()->name() == home);
    const auto elsewhere = s.choose("app");
    CHECK(elsewhere.worker()->name() != home);
    CHECK(elsewhere.reason == "spill");
}

TEST_CASE("a build that has waited is placed by what is warm when its turn comes")
{
    stage s{{named("a", 1, 1), named("b", 1, 1)}, {.warmth_ttl = 24h}};
    const auto home = s.build("app").first;
    const auto other = home == "a" ? "b" : "a";
    s.pool_->build_succeeded("busy", other, 0, s.now);
    auto at_home = std::make_unique<pick>(s.choose("app"));
    const auto elsewhere = s.choose("busy");
    REQUIRE(elsewhere.worker()->name() == other);

    admission_request request;
    request.context.key = "app";
    request.context.now = request.now = s.now;
    std::string reason;
    request.then = [&](admission given) { reason = given.chosen ? given.chosen->reason : "none"; };
    REQUIRE(s.pool_->admit(std::move(request)).waiting);

    SECTION("still warm")
    {
        s.pool_->expire_queue(s.now + 1s);
        at_home.reset();
        CHECK(reason == "home");
    }
    SECTION("no longer warm")
    {
        s.pool_->build_succeeded("sweep", other, 0, s.now + 25h);
        at_home.reset();
        CHECK(reason == "new");
    }
}

namespace {

/// Builds of one pool that wait, and who was served in which order.
struct line {
    void wait(const std::string& key)
    {
        admission_request request;
        request.context.key = request.key = key;
        request.context.now = request.now = s.now;
        request.then = [this, key](admission given) {
            order += order.empty() ? key : " " + key;
            running.push_back(std::move(*given.chosen));
        };
        REQUIRE(s.pool_->admit(std::move(request)).waiting);
    }

    /// Ends a build on `worker`.
    void end_on(const std::string& worker)
    {
        const auto at =
            std::find_if(running.begin(), running.end(), [&](const pick& p) { return p.worker()->name() == worker; });
        REQUIRE(at != running.end());
        const pick ended = std::move(*at);
        running.erase(at);
    }

    stage& s;
    std::string order;
    std::vector<pick> running;
};

}  // namespace

TEST_CASE("a place that becomes free goes to the first waiting build that is warm there")
{
    stage s{{named("a", 1, 1), named("b", 1, 1)}};
    s.pool_->build_succeeded("x", "a", 0, s.now);
    s.pool_->build_succeeded("y", "b", 0, s.now);
    line l{s, {}, {}};
    l.running.push_back(s.choose("x"));
    l.running.push_back(s.choose("y"));
    l.wait("cold");
    l.wait("y");
    l.wait("x");
    l.end_on("a");
    CHECK(l.order == "x");
    CHECK(l.running.back().reason == "home");
    l.end_on("b");
    CHECK(l.order == "x y");
    l.end_on("b");
    CHECK(l.order == "x y cold");
}

TEST_CASE("whoever is first in the queue is passed over three times in a row at most")
{
    stage s{{named("a", 1, 1)}};
    s.pool_->build_succeeded("x", "a", 0, s.now);
    line l{s, {}, {}};
    l.running.push_back(s.choose("x"));
    l.wait("cold1");
    l.wait("cold2");
    for (int i = 0; i < 8; ++i) {
        l.wait("x");
    }
    for (int i = 0; i < 10; ++i) {
        l.end_on("a");
    }
    CHECK(l.order == "x x x cold1 x x x cold2 x x");
}

TEST_CASE("who was served out of turn does not make newcomers wait for longer")
{
    stage s{{named("a", 1, 1)}};
    s.pool_->build_succeeded("x", "a", 0, s.now);
    line l{s, {}, {}};
    l.running.push_back(s.choose("x"));
    for (int i = 0; i < 2; ++i) {
        l.wait("cold1");
    }
    for (int i = 0; i < 3; ++i) {
        l.wait("x");
    }
    for (int i = 0; i < 3; ++i) {
        l.end_on("a");
    }
    CHECK(l.order == "x x x");
    // The turns are as if nobody had been served: the newcomer's first comes before the second of the other.
    l.wait("new");
    for (int i = 0; i < 3; ++i) {
        l.end_on("a");
    }
    CHECK(l.order == "x x x cold1 new cold1");
}
