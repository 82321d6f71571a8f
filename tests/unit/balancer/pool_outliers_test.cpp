#include <catch2/catch.hpp>

#include "balancer/policies/registry.hpp"
#include "balancer/pool.hpp"

using namespace buildkit_lb;
using namespace buildkit_lb::balancer;
using namespace std::chrono_literals;

namespace {

/// A pool of workers w1, w2, … that ejects after two failures, for ten seconds.
struct tested {
    explicit tested(std::size_t count, std::uint32_t max_builds = 0, std::uint32_t max_ejected = 50)
    {
        std::vector<worker_settings> workers;
        for (std::size_t i = 0; i < count; ++i) {
            workers.push_back(named("w" + std::to_string(i + 1), max_builds));
        }
        all = std::make_shared<pool>("default", std::move(workers), make_policy("least-active-builds"));
        all->set_outliers(settings(max_ejected), now);
        all->observe_ejections([this](const worker& w, const ejection* made, const std::string& why) {
            told.push_back(w.name() + (made ? " ejected: " + why : " back"));
        });
    }

    static worker_settings named(const std::string& name, std::uint32_t max_builds = 0)
    {
        worker_settings w;
        w.name = name;
        w.address.host = name;
        w.max_builds = max_builds;
        return w;
    }

    static outlier_settings settings(std::uint32_t max_ejected)
    {
        outlier_settings s;
        s.consecutive_failures = 2;
        s.ejection_time = 10s;
        s.max_ejected = max_ejected;
        return s;
    }

    std::shared_ptr<worker> at(std::size_t index) const { return all->snapshot()->workers.at(index).worker; }
    worker_view view(std::size_t index) const { return all->snapshot()->workers.at(index); }
    void fail(std::size_t index, int times = 1)
    {
        for (int i = 0; i < times; ++i) {
            all->report_fault(*at(index), traffic_fault::unavailable, "no", now);
        }
    }
    /// Everything health checks can say.
    void probe(bool up)
    {
        const auto now_there = all->snapshot();
        for (const auto& v : now_there->workers) {
            all->set_health(*v.worker, up ? worker_health::up : worker_health::down, up ? "" : "gone");
        }
    }
    std::string picked() const { return all->pick_worker({})->worker()->name(); }
    void after(duration d) { all->expire_ejections(now += d); }

    time_point now{1000s};
    std::shared_ptr<pool> all;
    std::vector<std::string> told;
};

using strings = std::vector<std::string>;

}  // namespace

TEST_CASE("an ejected worker gets no new build, of any kind, until its time is over")
{
    tested t{2};
    const auto running = t.all->pick_worker({});
    REQUIRE(running->worker() == t.at(0));
    t.fail(0, 2);
    CHECK(t.view(0).ejected);
    CHECK(t.view(0).ejected_until == t.now + 10s);
    CHECK(t.view(0).ejected_for == "no");
    pick_context internal;
    internal.kind = build_kind::internal;
    for (int i = 0; i < 5; ++i) {
        CHECK(t.picked() == "w2");
        CHECK(t.all->pick_worker(internal)->worker()->name() == "w2");
    }
    CHECK(t.at(0)->active_builds() == 1);  // what runs there goes on
    t.after(9999ms);
    CHECK(t.picked() == "w2");
    t.after(1ms);
    CHECK_FALSE(t.view(0).ejected);
    CHECK(t.view(0).ejected_for.empty());
    const auto one = t.all->pick_worker({});
    const auto other = t.all->pick_worker({});
    CHECK((one->worker() == t.at(0) || other->worker() == t.at(0)));
    CHECK(t.told == strings{"w1 ejected: no", "w1 back"});
}

TEST_CASE("a build that goes well begins the row of failures again")
{
    tested t{2};
    t.fail(0);
    t.all->report_success(*t.at(0));
    t.fail(0);
    CHECK_FALSE(t.view(0).ejected);
    t.fail(0);
    CHECK(t.view(0).ejected);
}

TEST_CASE("ejection is kept apart from health: what fails while a worker is down is the rest of one outage")
{
    tested t{3};
    t.all->observe_connect_failures([](const auto&, const auto&) {});
    const failure why{errc::reset, failure_source::upstream, true, "lost"};
    const auto w1 = t.at(0);
    // Three connections of one worker that is killed.
    for (int i = 0; i < 3; ++i) {
        t.all->report_connect_failure(*w1, why, t.now, traffic_fault::reset);
    }
    CHECK(t.view(0).health == worker_health::down);
    CHECK_FALSE(t.view(0).ejected);

    // Up again by a probe, and the next thing that is tried fails too: its probes know less than traffic does.
    t.all->set_health(*w1, worker_health::up, "");
    t.all->report_connect_failure(*w1, why, t.now, traffic_fault::reset);
    CHECK(t.view(0).health == worker_health::down);
    CHECK(t.view(0).ejected);
    CHECK(t.view(0).ejected_for == "lost");
    t.all->set_health(*w1, worker_health::up, "");
    CHECK(t.view(0).ejected);
    CHECK(t.picked() != "w1");
}

TEST_CASE("without health checks nothing but ejection keeps builds from a worker that refuses")
{
    tested t{2};
    const failure why{errc::refused, failure_source::upstream, true, "refused"};
    t.all->report_connect_failure(*t.at(0), why, t.now);
    CHECK_FALSE(t.view(0).ejected);
    t.all->report_connect_failure(*t.at(0), why, t.now);
    CHECK(t.view(0).ejected);
    CHECK(t.view(0).health == worker_health::unknown);
}

TEST_CASE("where every worker that is up is ejected, ejections don't count")
{
    tested t{2, 0, 100};
    t.all->observe_connect_failures([](const auto&, const auto&) {});
    t.probe(true);
    t.fail(0, 2);
    t.fail(1, 2);
    CHECK((t.view(0).ejected && t.view(1).ejected));
    const auto one = t.all->pick_worker({});
    const auto other = t.all->pick_worker({});
    CHECK(one->worker() != other->worker());
    CHECK(t.all->snapshot()->ready());

    // Down is down all the same.
    t.all->set_health(*t.at(0), worker_health::down, "gone");
    for (int i = 0; i < 4; ++i) {
        CHECK(t.picked() == "w2");
    }
    t.all->set_health(*t.at(1), worker_health::down, "gone");
    const auto refused = t.all->admit({});
    CHECK(refused.refused == rejection::no_worker);
    CHECK_THAT(refused.why.detail, Catch::Contains("w1 down: gone; w2 down: gone"));
}

TEST_CASE("the last worker that is not ejected and fails this very build is followed by those that are")
{
    tested t{2};
    t.fail(0, 2);
    pick_context context;
    context.excluded = {t.at(1)};
    CHECK(t.all->pick_worker(context)->worker() == t.at(0));
    context.excluded.push_back(t.at(0));
    CHECK_FALSE(t.all->pick_worker(context));
}

TEST_CASE("where the only worker of a platform is ejected, its builds go there all the same")
{
    tested t{2};
    for (std::size_t i = 0; i < 2; ++i) {
        auto facts = std::make_shared<worker_facts>();
        facts->platforms = {i == 0 ? "linux/arm64" : "linux/amd64"};
        t.all->set_facts(*t.at(i), facts);
    }
    t.all->set_rules(nullptr, {}, {true, ""}, t.now);
    t.fail(0, 2);
    pick_context arm;
    arm.needs.platforms = {"linux/arm64"};
    CHECK(t.all->pick_worker(arm)->worker() == t.at(0));
}

TEST_CASE("builds rather wait for a worker that is full than go to one that is ejected")
{
    tested t{2, 1};
    t.fail(0, 2);
    auto running = t.all->pick_worker({});
    REQUIRE(running->worker() == t.at(1));
    std::optional<pick> served;
    admission_request request;
    request.then = [&](admission given) { served = std::move(given.chosen); };

    SECTION("and get its place")
    {
        const auto outcome = t.all->admit(std::move(request));
        REQUIRE(outcome.waiting);
        running.reset();
        REQUIRE(served);
        CHECK(served->worker() == t.at(1));
    }
    SECTION("or that of the ejected one, when its time is over")
    {
        const auto outcome = t.all->admit(std::move(request));
        REQUIRE(outcome.waiting);
        t.after(10s);
        REQUIRE(served);
        CHECK(served->worker() == t.at(0));
    }
    SECTION("or that of the ejected one at once, when nobody else is left")
    {
        const auto outcome = t.all->admit(std::move(request));
        REQUIRE(outcome.waiting);
        t.all->set_draining(*t.at(1), true);
        REQUIRE(served);
        CHECK(served->worker() == t.at(0));
    }
}

TEST_CASE("builds wait for a worker that is ejected and full where it is the last one, and get its place")
{
    tested t{1, 1};
    auto running = t.all->pick_worker({});
    t.fail(0, 2);
    REQUIRE(t.view(0).ejected);
    std::optional<pick> served;
    admission_request request;
    request.then = [&](admission given) { served = std::move(given.chosen); };
    const auto outcome = t.all->admit(std::move(request));
    REQUIRE(outcome.waiting);
    running.reset();
    REQUIRE(served);
    CHECK(served->worker() == t.at(0));
}

TEST_CASE("a build that waits for its platform's only worker, which is ejected, gets its place when it is free")
{
    tested t{2, 1};
    for (std::size_t i = 0; i < 2; ++i) {
        auto facts = std::make_shared<worker_facts>();
        facts->platforms = {i == 0 ? "linux/arm64" : "linux/amd64"};
        t.all->set_facts(*t.at(i), facts);
    }
    t.all->set_rules(nullptr, {}, {true, ""}, t.now);
    admission_request request;
    request.context.needs.platforms = {"linux/arm64"};
    auto on_arm = t.all->pick_worker(request.context);
    pick_context amd;
    amd.needs.platforms = {"linux/amd64"};
    const auto on_amd = t.all->pick_worker(amd);
    REQUIRE((on_arm && on_amd));
    t.fail(0, 2);
    std::optional<pick> served;
    request.then = [&](admission given) { served = std::move(given.chosen); };
    const auto outcome = t.all->admit(std::move(request));
    REQUIRE(outcome.waiting);
    on_arm.reset();
    REQUIRE(served);
    CHECK(served->worker() == t.at(0));
}

TEST_CASE("linked builds follow onto a worker that is ejected")
{
    tested t{2};
    t.fail(0, 2);
    const auto child = t.all->take(t.at(0), {}, "linked");
    REQUIRE(child);
    CHECK(child->worker() == t.at(0));
}

TEST_CASE("an error that names all workers says who is ejected and why")
{
    tested t{2};
    t.fail(0, 2);
    CHECK_THAT(t.all->explain_no_pick({}), Catch::Contains("w1 ejected: no"));
}

TEST_CASE("a worker that leaves by a reload is not ejected any more, and makes room for others to be")
{
    tested t{2};
    const auto w1 = t.at(0);
    const lease running{w1};  // so that it stays for a while
    t.fail(0, 2);
    t.fail(1, 2);
    CHECK_FALSE(t.view(1).ejected);
    t.all->set_workers({tested::named("w2"), tested::named("w3")});
    REQUIRE(t.view(2).worker == w1);
    CHECK_FALSE(t.view(2).ejected);
    t.all->report_fault(*w1, traffic_fault::reset, "leaving", t.now);
    t.all->report_fault(*w1, traffic_fault::reset, "leaving", t.now);
    CHECK_FALSE(t.view(2).ejected);
    t.fail(0);
    CHECK(t.view(0).ejected);
}

TEST_CASE("the share of the pool that may be ejected leaves those out that leave")
{
    tested t{4};
    const lease busy{t.at(3)};
    const lease busy_too{t.at(2)};
    t.all->set_workers({tested::named("w1"), tested::named("w2")});
    REQUIRE(t.all->snapshot()->workers.size() == 4);
    t.fail(0, 2);
    t.fail(1, 2);
    CHECK(t.view(0).ejected);
    CHECK_FALSE(t.view(1).ejected);
}

TEST_CASE("a reload that turns ejections off ends them, and builds that wait are served")
{
    tested t{2, 1};
    t.fail(0, 2);
    const auto running = t.all->pick_worker({});
    std::optional<pick> served;
    admission_request request;
    request.then = [&](admission given) { served = std::move(given.chosen); };
    const auto outcome = t.all->admit(std::move(request));
    REQUIRE(outcome.waiting);
    t.all->set_outliers({}, t.now);
    REQUIRE(served);
    CHECK(served->worker() == t.at(0));
    CHECK(t.told.back() == "w1 back");
    t.fail(0, 10);
    CHECK_FALSE(t.view(0).ejected);
}
