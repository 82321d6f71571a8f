#include "balancer/outlier_detector.hpp"

#include <catch2/catch.hpp>
#include <deque>

#include "balancer/worker.hpp"

using namespace buildkit_lb;
using namespace buildkit_lb::balancer;
using namespace std::chrono_literals;

namespace {

outlier_settings three_in_a_row()
{
    outlier_settings s;
    s.consecutive_failures = 3;
    s.ejection_time = 30s;
    s.max_ejection_time = 300s;
    s.max_ejected = 50;
    return s;
}

/// A detector and the workers of its pool.
struct watched {
    explicit watched(std::size_t count = 4, const outlier_settings& settings = three_in_a_row()) : detector{settings}
    {
        for (std::size_t i = 0; i < count; ++i) {
            workers.emplace_back(worker_settings{});
        }
    }

    std::optional<ejection> fail(std::size_t index, int times = 1, traffic_fault fault = traffic_fault::connect)
    {
        std::optional<ejection> last;
        for (int i = 0; i < times; ++i) {
            last = detector.failed(workers[index], fault, workers.size(), now);
        }
        return last;
    }
    void succeed(std::size_t index) { detector.succeeded(workers[index]); }
    /// Lets time pass; how many came back.
    std::size_t after(duration d)
    {
        now += d;
        return detector.expire(now).size();
    }

    outlier_detector detector;
    std::deque<worker> workers;
    time_point now{1000s};
};

}  // namespace

TEST_CASE("so many failures in a row eject a worker at once, and not one less")
{
    watched w;
    CHECK_FALSE(w.fail(0, 2));
    CHECK(w.detector.ejected() == 0);
    const auto made = w.fail(0, 1, traffic_fault::reset);
    REQUIRE(made);
    CHECK(made->fault == traffic_fault::reset);
    CHECK(made->failures == 3);
    CHECK(made->number == 1);
    CHECK(made->lasts == 30s);
    CHECK(made->until == w.now + 30s);
    CHECK(w.detector.ejected() == 1);
}

TEST_CASE("failures of all kinds make one row, and what goes well begins it again")
{
    watched w;
    w.fail(0, 1, traffic_fault::connect);
    w.fail(0, 1, traffic_fault::reset);
    CHECK(w.fail(0, 1, traffic_fault::unavailable));

    w.fail(1, 2);
    w.succeed(1);
    CHECK_FALSE(w.fail(1, 2));
    CHECK(w.fail(1));
}

TEST_CASE("the failures of one worker are not another one's")
{
    watched w;
    w.fail(0, 2);
    w.fail(1, 2);
    w.succeed(2);
    CHECK(w.detector.ejected() == 0);
    CHECK(w.fail(1));
    CHECK(w.detector.ejected() == 1);
}

TEST_CASE("one failure is enough where one is asked for")
{
    auto settings = three_in_a_row();
    settings.consecutive_failures = 1;
    watched w{4, settings};
    CHECK(w.fail(0));
}

TEST_CASE("an ejection ends when its time is over, not before")
{
    watched w;
    w.fail(0, 3);
    CHECK(w.after(30s - 1ms) == 0);
    const auto over = w.detector.expire(w.now + 1ms);
    REQUIRE(over.size() == 1);
    CHECK(over[0] == &w.workers[0]);
    CHECK(w.detector.ejected() == 0);
    CHECK(w.after(1h) == 0);
}

TEST_CASE("what fails while a worker is ejected is neither a new ejection nor the beginning of a row")
{
    watched w;
    w.fail(0, 3);
    CHECK_FALSE(w.fail(0, 10));
    CHECK(w.detector.ejected() == 1);
    CHECK(w.after(30s) == 1);
    CHECK_FALSE(w.fail(0, 2));
    CHECK(w.fail(0));
}

TEST_CASE("each ejection that follows is longer, up to the cap")
{
    watched w;
    std::vector<duration> lasted;
    for (int i = 0; i < 13; ++i) {
        const auto made = w.fail(0, 3);
        REQUIRE(made);
        CHECK(made->number == static_cast<std::uint32_t>(i) + 1);
        lasted.push_back(made->lasts);
        CHECK(w.after(made->lasts) == 1);
    }
    CHECK(lasted[0] == 30s);
    CHECK(lasted[1] == 60s);
    CHECK(lasted[8] == 270s);
    CHECK(lasted[9] == 300s);
    CHECK(lasted[10] == 300s);
    CHECK(lasted[12] == 300s);
}

TEST_CASE("a cap below the first ejection does not shorten it")
{
    auto settings = three_in_a_row();
    settings.max_ejection_time = 10s;
    watched w{4, settings};
    CHECK(w.fail(0, 3)->lasts == 30s);
    w.after(30s);
    CHECK(w.fail(0, 3)->lasts == 30s);
}

TEST_CASE("for each ejection time that a worker stays well, one of its ejections is forgotten")
{
    watched w;
    for (int i = 0; i < 3; ++i) {
        w.after(w.fail(0, 3)->lasts);
    }
    SECTION("no time is forgotten before it is over")
    {
        w.after(30s - 1ms);
        CHECK(w.fail(0, 3)->number == 4);
    }
    SECTION("one")
    {
        w.after(30s);
        CHECK(w.fail(0, 3)->number == 3);
    }
    SECTION("two, and failures that lead to nothing do not matter")
    {
        w.after(45s);
        w.fail(0, 2);
        w.succeed(0);
        w.after(15s);
        CHECK(w.fail(0, 3)->number == 2);
    }
    SECTION("all of them, and no more")
    {
        w.after(90s);
        CHECK(w.fail(0, 3)->number == 1);
    }
    SECTION("after very long")
    {
        w.after(24h * 365);
        CHECK(w.fail(0, 3)->number == 1);
    }
}

TEST_CASE("no more than the share of the pool is ejected at once")
{
    watched w{5};  // 50% of 5: two
    CHECK(w.fail(0, 3));
    CHECK(w.fail(1, 3));
    CHECK_FALSE(w.fail(2, 3));
    CHECK_FALSE(w.fail(2, 10));
    CHECK(w.detector.ejected() == 2);

    // Its turn comes at its next failure, when there is room.
    CHECK(w.after(30s) == 2);
    CHECK(w.detector.ejected() == 0);
    CHECK(w.fail(2));
}

TEST_CASE("a worker that waits for its turn to be ejected, and does well, is not ejected")
{
    watched w{2};
    w.fail(0, 3);
    w.fail(1, 3);
    w.succeed(1);
    w.after(30s);
    CHECK_FALSE(w.fail(1, 2));
}

TEST_CASE("one worker always may be ejected, whatever the share and the size of the pool")
{
    auto settings = three_in_a_row();
    settings.max_ejected = 1;
    watched many{10, settings};
    CHECK(many.fail(0, 3));
    CHECK_FALSE(many.fail(1, 3));
    watched single{1};
    CHECK(single.fail(0, 3));
}

TEST_CASE("a share of all lets every worker be ejected")
{
    auto settings = three_in_a_row();
    settings.max_ejected = 100;
    watched w{3, settings};
    CHECK((w.fail(0, 3) && w.fail(1, 3) && w.fail(2, 3)));
    CHECK(w.detector.ejected() == 3);
}

TEST_CASE("no failures in a row, or no share, means that nobody is ejected")
{
    auto settings = three_in_a_row();
    SECTION("consecutive_failures")
    {
        settings.consecutive_failures = 0;
    }
    SECTION("max_ejected")
    {
        settings.max_ejected = 0;
    }
    watched w{4, settings};
    CHECK_FALSE(w.fail(0, 100));
    w.succeed(0);
    CHECK(w.detector.ejected() == 0);
}

TEST_CASE("turned off, every ejection ends; with other settings those that run keep their end")
{
    watched w;
    w.fail(0, 3);
    auto settings = three_in_a_row();
    settings.ejection_time = 1s;
    CHECK(w.detector.use(settings, w.now).empty());
    CHECK(w.after(29s) == 0);
    settings.consecutive_failures = 0;
    const auto over = w.detector.use(settings, w.now);
    REQUIRE(over.size() == 1);
    CHECK(over[0] == &w.workers[0]);
    CHECK(w.detector.ejected() == 0);
    // And what was remembered is forgotten.
    w.detector.use(three_in_a_row(), w.now);
    CHECK(w.fail(0, 3)->number == 1);
}

TEST_CASE("a worker that has left is forgotten, with its ejection")
{
    watched w{2};
    w.fail(0, 3);
    CHECK_FALSE(w.fail(1, 3));
    w.detector.forget(w.workers[0]);
    w.detector.forget(w.workers[0]);
    CHECK(w.detector.ejected() == 0);
    CHECK(w.fail(1));
    CHECK(w.after(30s) == 1);
}

TEST_CASE("each fault has its label")
{
    CHECK(to_string(traffic_fault::connect) == "connect");
    CHECK(to_string(traffic_fault::reset) == "reset");
    CHECK(to_string(traffic_fault::unavailable) == "unavailable");
}
