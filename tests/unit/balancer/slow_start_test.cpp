#include "balancer/slow_start.hpp"

#include <catch2/catch.hpp>
#include <map>

#include "balancer/policies/registry.hpp"
#include "balancer/pool.hpp"

using namespace buildkit_lb;
using namespace buildkit_lb::balancer;
using namespace std::chrono_literals;

namespace {

constexpr auto window = 100s;

worker_settings named(const std::string& name, std::uint32_t weight = 1)
{
    worker_settings w;
    w.name = name;
    w.address.host = name;
    w.weight = worker_weight{weight};
    return w;
}

/// A pool in which w1 has come back this very moment.
struct tested {
    explicit tested(std::string_view policy, std::uint32_t weight = 1, const affinity_settings& affinity = {})
        : all{std::make_shared<pool>("default", std::vector{named("w1", weight), named("w2")},
                                     make_policy(policy, affinity))}
    {
        all->set_slow_start(window);
        all->expire_queue(now);  // tells it the time
        set_up(false);
        set_up(true);
    }

    const worker& w1() const { return *all->snapshot()->workers.front().worker; }
    void set_up(bool up) const { all->set_health(w1(), up ? worker_health::up : worker_health::down, ""); }
    std::optional<pick> choose(const std::string& key = {}) const
    {
        pick_context context;
        context.key = key;
        context.now = now;
        return all->pick_worker(context);
    }
    /// Of so many builds that end at once, how many w1 got.
    int got(int of) const
    {
        int count = 0;
        for (int i = 0; i < of; ++i) {
            count += choose()->worker()->name() == "w1" ? 1 : 0;
        }
        return count;
    }
    double share() const { return all->weight_share(w1(), now); }

    time_point now{1000s};
    std::shared_ptr<pool> all;
};

}  // namespace

TEST_CASE("a share grows with the time, from a tenth to all")
{
    const worker w{named("w1")};
    const worker other{named("w2")};
    const time_point begun{1000s};
    slow_start slow;
    slow.use(window);
    slow.begin(w, begun);
    CHECK(slow.share(w, begun) == slow_start::least);
    CHECK(slow.share(w, begun + 9s) == slow_start::least);
    CHECK(slow.share(w, begun + 25s) == slow_start::unit / 4);
    CHECK(slow.share(w, begun + 50s) == slow_start::unit / 2);
    CHECK(slow.share(w, begun + 100s - 1ns) == slow_start::unit - 1);
    CHECK(slow.share(w, begun + 100s) == slow_start::unit);
    CHECK(slow.share(w, begun + 1h) == slow_start::unit);
    CHECK(slow.share(other, begun) == slow_start::unit);
    std::uint32_t last = 0;
    for (auto t = 0s; t <= 110s; t += 1s) {
        const auto share = slow.share(w, begun + t);
        CHECK(share >= last);
        last = share;
    }
    // Told a time before, as by a thread that looked at its clock earlier.
    CHECK(slow.share(w, begun - 1s) == slow_start::least);
}

TEST_CASE("who has reached the whole share is forgotten")
{
    const worker first{named("w1")};
    const worker second{named("w2")};
    slow_start slow;
    slow.use(window);
    CHECK_FALSE(slow.any(time_point{0s}));
    slow.begin(first, time_point{0s});
    slow.begin(second, time_point{50s});
    CHECK(slow.any(time_point{99s}));
    CHECK(slow.any(time_point{100s}));
    CHECK_FALSE(slow.any(time_point{150s}));
}

TEST_CASE("a worker that comes back once more begins once more, and one that is forgotten does not")
{
    const worker w{named("w1")};
    slow_start slow;
    slow.use(window);
    slow.begin(w, time_point{0s});
    slow.begin(w, time_point{50s});
    CHECK(slow.share(w, time_point{100s}) == slow_start::unit / 2);
    slow.forget(w);
    CHECK(slow.share(w, time_point{100s}) == slow_start::unit);
}

TEST_CASE("a window of nothing means that nobody starts slowly, and ends what has begun")
{
    const worker w{named("w1")};
    slow_start slow;
    slow.begin(w, time_point{0s});
    CHECK(slow.share(w, time_point{0s}) == slow_start::unit);
    slow.use(24h);
    slow.begin(w, time_point{0s});
    CHECK(slow.share(w, time_point{12h}) == slow_start::unit / 2);
    slow.use(0s);
    CHECK(slow.share(w, time_point{12h}) == slow_start::unit);
    CHECK_FALSE(slow.any(time_point{12h}));
}

TEST_CASE("round-robin gives a worker that came back its share, and then its whole weight at once")
{
    tested t{"round-robin"};
    CHECK(t.got(1126) == 102);  // a tenth of its weight, to one
    t.now += 50s;
    CHECK(t.got(300) == 100);
    t.now += 50s;
    CHECK(t.got(300) == Approx(150).margin(1));
    CHECK(t.got(2) == 1);
}

TEST_CASE("the weight of a worker counts during its slow start too")
{
    tested t{"round-robin", 3};
    t.now += 50s;
    CHECK(t.got(250) == 150);
}

TEST_CASE("least-active-builds holds back from a worker that came back what is over its share")
{
    tested t{"least-active-builds"};
    std::vector<pick> running;
    std::map<std::string, int> on;
    const auto add = [&](int builds) {
        for (int i = 0; i < builds; ++i) {
            running.push_back(*t.choose());
            ++on[running.back().worker()->name()];
        }
    };
    add(10);
    CHECK(on["w1"] == 1);
    t.now += 50s;
    add(11);
    CHECK(on["w1"] == 7);
    t.now += 50s;
    add(19);
    CHECK(on["w1"] == 20);
}

TEST_CASE("cache-affinity holds back by the bound of load, and no key moves")
{
    const affinity_settings affinity{.load_factor = 1.25, .spill_after = 4};
    tested t{"cache-affinity", 1, affinity};
    const tested other{"cache-affinity", 1, affinity};
    other.all->set_slow_start(0s);
    // The first build of each key goes where it would go without a slow start.
    std::string of_w1;
    for (int i = 0; i < 50; ++i) {
        const std::string key = "key-" + std::to_string(i);
        const auto home = t.choose(key)->worker()->name();
        CHECK(home == other.choose(key)->worker()->name());
        of_w1 = home == "w1" ? key : of_w1;
    }
    REQUIRE_FALSE(of_w1.empty());

    // One build at a tenth, two at a half, then as many as everybody.
    const auto at_once = [&](const tested& in) {
        std::vector<pick> running;
        do {
            running.push_back(*in.choose(of_w1));
        } while (running.back().worker()->name() == "w1");
        return running.size() - 1;
    };
    CHECK(at_once(t) == 1);
    t.now += 50s;
    CHECK(at_once(t) == 2);
    t.now += 50s;
    CHECK(at_once(t) == at_once(other));
    CHECK(at_once(other) == 4);
}

TEST_CASE("a worker starts slowly however it comes back, and not when a pool begins")
{
    tested t{"round-robin"};
    CHECK(t.share() < 0.2);
    const auto after_a_while = [&] {
        t.all->expire_queue(t.now += 200s);
        return t.share();
    };
    REQUIRE(after_a_while() == 1);

    SECTION("what is no return")
    {
        t.set_up(true);
        CHECK(t.share() == 1);
        CHECK(t.all->weight_share(*t.all->snapshot()->workers[1].worker, t.now) == 1);
    }
    SECTION("down and up")
    {
        t.set_up(false);
        t.set_up(true);
        CHECK(t.share() < 0.2);
    }
    SECTION("undrained; not when it is up again while it is drained")
    {
        t.all->set_draining("w1", true);
        t.set_up(false);
        t.set_up(true);
        CHECK(t.share() == 1);
        t.all->set_draining("w1", false);
        CHECK(t.share() < 0.2);
    }
    SECTION("not ejected any more")
    {
        t.all->set_outliers({.consecutive_failures = 1, .ejection_time = 10s}, t.now);
        t.all->report_fault(t.w1(), traffic_fault::reset, "reset", t.now);
        CHECK(t.share() == 1);
        t.all->expire_ejections(t.now += 10s);
        CHECK(t.share() < 0.2);
    }
    SECTION("added, and named again while it leaves")
    {
        const lease busy{t.all->snapshot()->workers[0].worker};
        t.all->set_workers({named("w2"), named("w3")});
        const auto share_of = [&](std::size_t index) {
            return t.all->weight_share(*t.all->snapshot()->workers.at(index).worker, t.now);
        };
        CHECK(share_of(0) == 1);
        CHECK(share_of(1) < 0.2);
        t.all->set_workers({named("w1"), named("w2")});
        CHECK(share_of(0) < 0.2);
    }
    SECTION("the first that discovery finds")
    {
        pool empty{"default", {}, make_policy("round-robin")};
        empty.set_slow_start(window);
        empty.set_workers({named("w1")});
        CHECK(empty.weight_share(*empty.snapshot()->workers[0].worker, {}) == 1);
    }
}
