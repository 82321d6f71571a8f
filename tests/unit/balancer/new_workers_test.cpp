#include <catch2/catch.hpp>

#include "balancer/policies/registry.hpp"
#include "balancer/pool.hpp"

using namespace buildkit_lb;
using namespace buildkit_lb::balancer;

namespace {

worker_settings at(const std::string& name, int port, std::uint32_t max_builds = 0)
{
    return {name, *parse_endpoint("tcp://127.0.0.1:" + std::to_string(port)), worker_weight{1}, max_builds};
}

std::string names(const pool& p)
{
    std::string all;
    for (const auto& view : p.snapshot()->workers) {
        all += view.worker->name() + (view.leaving ? "- " : " ");
    }
    return all;
}

std::shared_ptr<pool> make(std::vector<worker_settings> workers)
{
    return std::make_shared<pool>("p", std::move(workers), make_policy("round-robin"));
}

}  // namespace

TEST_CASE("a worker that stays keeps its builds and gets its new settings", "[reload]")
{
    auto p = make({at("w1", 1), at("w2", 2)});
    const auto running = p->pick_worker({});
    p->set_health(*running->worker(), worker_health::up, {});
    const auto same = running->worker();
    p->set_workers({at("w3", 3), at("w1", 1, 1)});
    CHECK(names(*p) == "w3 w1 w2- ");
    const auto view = p->snapshot()->workers[1];
    CHECK(view.worker == same);
    CHECK(view.health == worker_health::up);
    CHECK(view.worker->active_builds() == 1);
    // Its new cap counts at once.
    CHECK(p->pick_worker({})->worker()->name() == "w3");
    CHECK(p->pick_worker({})->worker()->name() == "w3");
}

TEST_CASE("a worker that leaves takes no build, and is dropped once its last has ended", "[reload]")
{
    auto p = make({at("w1", 1)});
    auto running = p->pick_worker({});
    p->set_workers({at("w2", 2)});
    CHECK(p->pick_worker({})->worker()->name() == "w2");
    // A linked target still comes to the build that is its input.
    CHECK(p->take(running->worker(), {}, "linked").has_value());
    CHECK_FALSE(p->drop_idle_leavers());
    CHECK(names(*p) == "w2 w1- ");
    running.reset();
    CHECK(p->drop_idle_leavers());
    CHECK(names(*p) == "w2 ");
    CHECK_FALSE(p->drop_idle_leavers());
}

TEST_CASE("a worker that comes back before it was dropped is the same one", "[reload]")
{
    auto p = make({at("w1", 1)});
    const auto running = p->pick_worker({});
    p->set_workers({at("w2", 2)});
    p->set_workers({at("w2", 2), at("w1", 1)});
    CHECK(names(*p) == "w2 w1 ");
    CHECK(p->snapshot()->workers[1].worker == running->worker());
}

TEST_CASE("the same name at another address is another worker", "[reload]")
{
    auto p = make({at("w1", 1)});
    const auto running = p->pick_worker({});
    p->set_workers({at("w1", 2)});
    CHECK(names(*p) == "w1 w1- ");
    CHECK(p->pick_worker({})->worker() != running->worker());
}

TEST_CASE("builds that wait get the places of new workers", "[reload]")
{
    auto p = make({at("w1", 1, 1)});
    const auto running = p->pick_worker({});
    std::string got;
    admission_request request;
    request.then = [&](admission a) { got = a.chosen->worker()->name(); };
    const auto outcome = p->admit(std::move(request));
    REQUIRE(outcome.waiting);
    p->set_workers({at("w1", 1, 1), at("w2", 2)});
    CHECK(got == "w2");
}

TEST_CASE("a pool may lose all its workers and get others", "[reload]")
{
    auto p = make({at("w1", 1)});
    p->set_workers({});
    p->drop_idle_leavers();
    CHECK(names(*p).empty());
    CHECK_FALSE(p->snapshot()->ready());
    admission_request request;
    const auto refused = p->admit(std::move(request));
    CHECK(refused.refused == rejection::no_worker);
    CHECK(refused.why.detail.find("it has no workers") != std::string::npos);
    p->set_workers({at("w2", 2)});
    CHECK(p->pick_worker({})->worker()->name() == "w2");
}

TEST_CASE("new rules count for builds that wait too", "[reload]")
{
    auto p = make({at("w1", 1, 1)});
    const auto running = p->pick_worker({});
    p->set_rules(make_policy("least-active-builds"), queue_settings{0, {}, false}, {}, {});
    admission_request request;
    CHECK(p->admit(std::move(request)).refused == rejection::full);
    pick_context context;
    context.over_cap = true;
    CHECK(p->pick_worker(context)->policy == "least-active-builds");
}
