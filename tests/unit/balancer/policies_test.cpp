#include <catch2/catch.hpp>
#include <map>
#include <random>

#include "balancer/policies/registry.hpp"
#include "balancer/pool.hpp"

using namespace buildkit_lb;
using namespace buildkit_lb::balancer;

namespace {

worker_settings settings(std::string name, std::uint32_t weight = 1, std::uint32_t max_builds = 0)
{
    worker_settings s;
    s.name = std::move(name);
    s.weight = worker_weight{weight};
    s.max_builds = max_builds;
    return s;
}

pool make_pool(std::string_view policy, std::vector<worker_settings> workers)
{
    return pool{"default", std::move(workers), make_policy(policy)};
}

std::string pick_name(pool& p)
{
    const auto chosen = p.pick_worker({});
    return chosen ? chosen->worker()->name() : "none";
}

const worker& worker_named(const pool& p, const std::string& name)
{
    const auto snapshot = p.snapshot();
    for (const auto& view : snapshot->workers) {
        if (view.worker->name() == name) {
            return *view.worker;
        }
    }
    throw std::logic_error("no worker " + name);
}

}  // namespace

TEST_CASE("round-robin spreads by weight and never bunches")
{
    auto p = make_pool("round-robin", {settings("a", 5), settings("b", 1), settings("c", 1)});
    std::string order;
    for (int i = 0; i < 7; ++i) {
        order += pick_name(p);
    }
    CHECK(order == "aabacaa");
}

TEST_CASE("round-robin stays fair while workers come and go")
{
    auto p = make_pool("round-robin", {settings("a"), settings("b"), settings("c")});
    std::mt19937 random{7};
    std::map<std::string, int> counts;
    for (int i = 0; i < 9000; ++i) {
        if (i % 100 == 0) {
            p.set_health(worker_named(p, "c"), worker_health::down, "test");
        } else if (i % 100 == 50) {
            p.set_health(worker_named(p, "c"), worker_health::up, "");
        }
        ++counts[pick_name(p)];
    }
    // c is up half of the time: it gets a third of that half, a and b share the rest.
    CHECK(counts["c"] == Approx(1500).epsilon(0.05));
    CHECK(counts["a"] == Approx(3750).epsilon(0.05));
    CHECK(counts["b"] == Approx(3750).epsilon(0.05));
}

TEST_CASE("least-active-builds prefers the worker with the fewest builds per weight")
{
    auto p = make_pool("least-active-builds", {settings("small", 1), settings("large", 3)});
    std::vector<pick> held;
    std::map<std::string, int> counts;
    for (int i = 0; i < 40; ++i) {
        held.push_back(*p.pick_worker({}));
        ++counts[held.back().worker()->name()];
    }
    CHECK(counts["small"] == 10);
    CHECK(counts["large"] == 30);
}

TEST_CASE("least-active-builds uses an idle pool evenly")
{
    auto p = make_pool("least-active-builds", {settings("a"), settings("b"), settings("c")});
    std::map<std::string, int> counts;
    for (int i = 0; i < 300; ++i) {
        ++counts[pick_name(p)];  // ends at once, so all are always idle
    }
    CHECK(counts == std::map<std::string, int>{{"a", 100}, {"b", 100}, {"c", 100}});
}

TEST_CASE("least-active-builds stays balanced under churn")
{
    auto p = make_pool("least-active-builds", {settings("a"), settings("b"), settings("c"), settings("d")});
    std::mt19937 random{42};
    std::vector<pick> held;
    for (int i = 0; i < 20000; ++i) {
        const bool starts = held.size() < 40 || (held.size() < 60 && random() % 2 == 0);
        if (starts) {
            held.push_back(*p.pick_worker({}));
            std::uint32_t least = ~0U;
            for (const auto& view : p.snapshot()->workers) {
                least = std::min(least, view.worker->active_builds());
            }
            // It was among the least loaded before this pick, so it is at most one above the least now.
            REQUIRE(held.back().worker()->active_builds() <= least + 1);
        } else {
            std::swap(held[random() % held.size()], held.back());
            held.pop_back();
        }
    }
    held.clear();
    for (const auto& view : p.snapshot()->workers) {
        CHECK(view.worker->active_builds() == 0);
    }
}

TEST_CASE("a pick passes over workers that are down, draining, full or tried")
{
    auto p = make_pool("round-robin", {settings("down"), settings("full", 1, 1), settings("tried"), settings("free")});
    p.set_health(worker_named(p, "down"), worker_health::down, "connection refused");
    const lease one_build{p.snapshot()->workers[1].worker};
    pick_context context;
    context.excluded.push_back(p.snapshot()->workers[2].worker);
    for (int i = 0; i < 10; ++i) {
        const auto chosen = p.pick_worker(context);
        REQUIRE(chosen);
        CHECK(chosen->worker()->name() == "free");
    }
    p.set_health(worker_named(p, "free"), worker_health::down, "timed out");
    CHECK_FALSE(p.pick_worker(context));
    CHECK(p.explain_no_pick(context) ==
          "no worker of pool default can take a build: down down: connection refused; full at its cap of 1 builds; "
          "tried could not be connected to; free down: timed out");
}

TEST_CASE("internal builds go round the workers and leave the turns of the user's builds alone")
{
    for (const char* policy : {"round-robin", "least-active-builds"}) {
        auto p = make_pool(policy, {settings("a"), settings("b"), settings("c")});
        pick_context internal;
        internal.kind = build_kind::internal;
        std::map<std::string, int> users;
        std::map<std::string, int> clients;
        for (int i = 0; i < 9; ++i) {
            ++clients[p.pick_worker(internal)->worker()->name()];
            ++clients[p.pick_worker(internal)->worker()->name()];
            ++users[pick_name(p)];
        }
        CHECK(users == std::map<std::string, int>{{"a", 3}, {"b", 3}, {"c", 3}});
        CHECK(clients == std::map<std::string, int>{{"a", 6}, {"b", 6}, {"c", 6}});
    }
}

TEST_CASE("internal builds are counted apart and go to a worker at its cap")
{
    auto p = make_pool("least-active-builds", {settings("a", 1, 1)});
    const auto ordinary = p.pick_worker({});
    CHECK_FALSE(p.pick_worker({}));
    pick_context internal;
    internal.kind = build_kind::internal;
    const auto extra = p.pick_worker(internal);
    REQUIRE(extra);
    CHECK(extra->worker()->active_builds() == 1);
    CHECK(extra->worker()->internal_builds() == 1);
}

TEST_CASE("take goes over the cap, but not to a worker that is down or draining")
{
    auto p = make_pool("round-robin", {settings("a", 1, 1)});
    const auto w = p.snapshot()->workers[0].worker;
    const auto first = p.pick_worker({});
    const auto linked = p.take(w, {}, "linked");
    REQUIRE(linked);
    CHECK(linked->reason == "linked");
    CHECK(w->active_builds() == 2);
    p.set_health(*w, worker_health::down, "x");
    CHECK_FALSE(p.take(w, {}, "linked"));
}

TEST_CASE("include_down offers the workers that are down")
{
    auto p = make_pool("round-robin", {settings("a")});
    p.set_health(worker_named(p, "a"), worker_health::down, "refused");
    CHECK_FALSE(p.pick_worker({}));
    pick_context last_resort;
    last_resort.include_down = true;
    CHECK(p.pick_worker(last_resort));
}

TEST_CASE("a worker that no probe has seen yet may take builds but does not make the pool ready")
{
    auto p = make_pool("round-robin", {settings("a")});
    CHECK(p.pick_worker({}));
    CHECK(p.snapshot()->ready());  // nothing probes it, so nothing will ever say more
    p.observe_connect_failures([](const worker&, const failure&) {});
    CHECK_FALSE(p.snapshot()->ready());
    p.set_health(worker_named(p, "a"), worker_health::up, "");
    CHECK(p.snapshot()->ready());
}

TEST_CASE("a failed connect takes the worker out at once when something probes the pool")
{
    auto p = make_pool("round-robin", {settings("a"), settings("b")});
    failure why;
    why.detail = "connection refused";
    SECTION("probed")
    {
        std::vector<std::string> seen;
        p.observe_connect_failures(
            [&](const worker& w, const failure& f) { seen.push_back(w.name() + ": " + f.detail); });
        p.report_connect_failure(worker_named(p, "a"), why, {});
        CHECK(seen == std::vector<std::string>{"a: connection refused"});
        CHECK(p.snapshot()->workers[0].health == worker_health::down);
        CHECK(pick_name(p) == "b");
        CHECK(pick_name(p) == "b");
    }
    SECTION("not probed: nothing could bring it back")
    {
        p.report_connect_failure(worker_named(p, "a"), why, {});
        CHECK(p.snapshot()->workers[0].health == worker_health::unknown);
    }
}

TEST_CASE("a lease counts once, wherever it is moved to")
{
    auto w = std::make_shared<worker>(settings("a"));
    {
        lease first{w};
        CHECK(w->active_builds() == 1);
        lease second{std::move(first)};
        CHECK(w->active_builds() == 1);
        lease third{w};
        CHECK(w->active_builds() == 2);
        third = std::move(second);
        CHECK(w->active_builds() == 1);
        auto& itself = third;
        third = std::move(itself);
        CHECK(w->active_builds() == 1);
    }
    CHECK(w->active_builds() == 0);
}

TEST_CASE("a snapshot does not change once it was handed out")
{
    auto p = make_pool("round-robin", {settings("a")});
    const auto before = p.snapshot();
    p.set_health(worker_named(p, "a"), worker_health::down, "x");
    CHECK(before->workers[0].health == worker_health::unknown);
}
