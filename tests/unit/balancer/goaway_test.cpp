#include <catch2/catch.hpp>

#include "balancer/policies/registry.hpp"
#include "balancer/pool.hpp"

using namespace buildkit_lb;
using namespace buildkit_lb::balancer;

namespace {

struct two_workers {
    two_workers()
    {
        std::vector<worker_settings> settings(2);
        settings[0].name = "w1";
        settings[1].name = "w2";
        pool = std::make_shared<balancer::pool>("default", std::move(settings), make_policy("round-robin"));
        pool->observe_goaways([this](const worker& w) { told.push_back(w.name()); });
    }
    std::shared_ptr<worker> at(std::size_t index) const { return pool->snapshot()->workers.at(index).worker; }

    std::shared_ptr<balancer::pool> pool;
    std::vector<std::string> told;
};

}  // namespace

TEST_CASE("a worker that says GOAWAY gets no new build until it is found up, and is told of once")
{
    two_workers p;
    const auto w1 = p.at(0);
    const auto running = p.pool->pick_worker({});
    REQUIRE(running->worker() == w1);

    CHECK(p.pool->report_goaway(*w1));
    CHECK_FALSE(p.pool->report_goaway(*w1));
    CHECK(p.told == std::vector<std::string>{"w1"});
    for (int i = 0; i < 4; ++i) {
        CHECK(p.pool->pick_worker({})->worker()->name() == "w2");
    }
    CHECK(w1->active_builds() == 1);
    CHECK(p.pool->snapshot()->ready());

    CHECK(p.pool->clear_goaway(*w1));
    CHECK_FALSE(p.pool->clear_goaway(*w1));
    const auto one = p.pool->pick_worker({});
    const auto other = p.pool->pick_worker({});
    CHECK((one->worker() == w1 || other->worker() == w1));
}

TEST_CASE("a linked build does not follow its parent onto a worker that is going away: it could not be connected to")
{
    two_workers p;
    const auto parent = p.pool->take(p.at(0), {}, "linked");
    REQUIRE(parent);
    p.pool->report_goaway(*p.at(0));
    CHECK_FALSE(p.pool->take(p.at(0), {}, "linked"));
}

TEST_CASE("a pool whose workers all go away is not ready and says why; down says more than going away")
{
    two_workers p;
    p.pool->report_goaway(*p.at(0));
    p.pool->report_goaway(*p.at(1));
    p.pool->set_health(*p.at(1), worker_health::down, "refused");
    CHECK_FALSE(p.pool->snapshot()->ready());
    CHECK_FALSE(p.pool->pick_worker({}));
    CHECK_THAT(p.pool->explain_no_pick({}),
               Catch::Contains("w1 going away: it has said GOAWAY") && Catch::Contains("w2 down: refused"));
}

TEST_CASE("where nothing would find a worker back, a GOAWAY does not take it out")
{
    two_workers p;
    p.pool->report_goaway(*p.at(0));
    p.pool->observe_goaways({});
    CHECK_FALSE(p.pool->snapshot()->workers[0].going_away);
    CHECK_FALSE(p.pool->report_goaway(*p.at(0)));
    CHECK_FALSE(p.pool->snapshot()->workers[0].going_away);
}
