#include <catch2/catch.hpp>

#include "balancer/policies/registry.hpp"
#include "balancer/pool.hpp"

using namespace buildkit_lb;
using namespace buildkit_lb::balancer;

namespace {

std::shared_ptr<pool> make_pool(std::uint32_t max_builds = 0, queue_settings queue = {})
{
    std::vector<worker_settings> workers(2);
    workers[0].name = "w1";
    workers[1].name = "w2";
    workers[0].max_builds = workers[1].max_builds = max_builds;
    return std::make_shared<pool>("default", std::move(workers), make_policy("round-robin"), queue);
}

std::shared_ptr<worker> worker_of(const pool& p, std::size_t index)
{
    return p.snapshot()->workers.at(index).worker;
}

}  // namespace

TEST_CASE("a worker that drains gets no new build, and gets them again when it is undrained")
{
    const auto p = make_pool();
    const auto w1 = worker_of(*p, 0);
    const auto running = p->pick_worker({});
    REQUIRE(running->worker() == w1);

    CHECK(p->set_draining(*w1, true));
    CHECK_FALSE(p->set_draining(*w1, true));
    pick_context internal;
    internal.kind = build_kind::internal;
    for (int i = 0; i < 6; ++i) {
        CHECK(p->pick_worker({})->worker()->name() == "w2");
        CHECK(p->pick_worker(internal)->worker()->name() == "w2");
    }
    CHECK(w1->active_builds() == 1);

    CHECK(p->set_draining(*w1, false));
    CHECK_FALSE(p->set_draining(*w1, false));
    const auto first = p->pick_worker({});
    const auto second = p->pick_worker({});
    CHECK((first->worker() == w1 || second->worker() == w1));
}

TEST_CASE("drain is kept apart from health")
{
    const auto p = make_pool();
    const auto w1 = worker_of(*p, 0);
    p->set_draining(*w1, true);
    p->set_health(*w1, worker_health::down, "gone");
    p->set_health(*w1, worker_health::up, "");
    CHECK(p->snapshot()->workers[0].draining);
    CHECK(p->snapshot()->workers[0].health == worker_health::up);
    p->set_draining(*w1, false);
    CHECK(p->snapshot()->workers[0].health == worker_health::up);
    p->set_health(*worker_of(*p, 1), worker_health::up, "");
    p->set_draining(*w1, true);
    CHECK(p->snapshot()->ready());
    p->set_draining(*worker_of(*p, 1), true);
    CHECK_FALSE(p->snapshot()->ready());
}

TEST_CASE("with every worker draining a build is refused, and told why")
{
    const auto p = make_pool();
    p->set_draining(*worker_of(*p, 0), true);
    p->set_draining(*worker_of(*p, 1), true);
    const auto refused = p->admit({});
    CHECK(refused.refused == rejection::no_worker);
    CHECK_THAT(refused.why.detail, Catch::Contains("w1 draining; w2 draining"));
    pick_context last_resort;
    last_resort.include_down = true;
    CHECK_FALSE(p->pick_worker(last_resort));
}

TEST_CASE("builds that wait are served when a worker is undrained")
{
    const auto p = make_pool(1);
    p->set_draining(*worker_of(*p, 0), true);
    const auto running = p->pick_worker({});
    std::optional<pick> served;
    admission_request request;
    request.then = [&](admission a) { served = std::move(a.chosen); };
    const auto waits = p->admit(std::move(request));
    REQUIRE(waits.waiting);
    CHECK_FALSE(served);
    p->set_draining(*worker_of(*p, 0), false);
    REQUIRE(served);
    CHECK(served->worker()->name() == "w1");
}

TEST_CASE("a place that becomes free on a worker that drains is nobody's")
{
    const auto p = make_pool(1);
    auto on_w1 = p->pick_worker({});
    const auto on_w2 = p->pick_worker({});
    REQUIRE(on_w1->worker() == worker_of(*p, 0));
    bool served = false;
    admission_request request;
    request.then = [&](const admission&) { served = true; };
    const auto waits = p->admit(std::move(request));
    REQUIRE(waits.waiting);
    p->set_draining(*worker_of(*p, 0), true);
    on_w1.reset();
    CHECK_FALSE(served);
    p->leave(*waits.waiting);
}

TEST_CASE("a linked build follows its parent onto a worker that drains, as long as a build runs there")
{
    const auto p = make_pool(1);
    const auto w1 = worker_of(*p, 0);
    auto parent = p->pick_worker({});
    REQUIRE(parent->worker() == w1);
    p->set_draining(*w1, true);
    auto child = p->take(w1, {}, "linked");
    REQUIRE(child);
    CHECK(w1->active_builds() == 2);
    parent.reset();
    child.reset();
    CHECK_FALSE(p->take(w1, {}, "linked"));
    p->set_health(*w1, worker_health::down, "gone");
    const lease other{w1};
    CHECK_FALSE(p->take(w1, {}, "linked"));
}

TEST_CASE("a drain outlives a reload, and the worker's absence")
{
    const auto p = make_pool();
    const auto settings = [](std::string name, std::string host) {
        worker_settings s;
        s.name = std::move(name);
        s.address.host = std::move(host);
        return s;
    };
    p->set_workers({settings("w1", "a"), settings("w2", "b")});
    p->set_draining("w1", true);
    CHECK(p->drained() == std::vector<std::string>{"w1"});
    p->set_workers({settings("w2", "b")});
    p->drop_idle_leavers();
    CHECK(p->snapshot()->workers.size() == 1);
    CHECK(p->drained() == std::vector<std::string>{"w1"});
    p->set_workers({settings("w2", "b"), settings("w1", "elsewhere")});
    CHECK(p->snapshot()->workers[1].draining);
    CHECK_FALSE(p->snapshot()->workers[0].draining);
    CHECK(p->set_draining("w1", false));
    CHECK_FALSE(p->snapshot()->workers[1].draining);
    CHECK(p->drained().empty());
}
