#include "health/health_tracker.hpp"

#include <catch2/catch.hpp>
#include <deque>

using namespace buildkit_lb;
using namespace buildkit_lb::health;
using namespace std::chrono_literals;
using balancer::worker_health;

namespace {

failure failed(std::string why = "refused")
{
    return {errc::refused, failure_source::upstream, true, std::move(why)};
}

/// A tracker and a clock that steps one second an event.
struct tracked {
    explicit tracked(std::uint32_t unhealthy_after = 3, std::uint32_t healthy_after = 2)
        : tracker{health_tracker::thresholds{unhealthy_after, healthy_after}}
    {
    }

    std::optional<transition> pass() { return tracker.observe(probe_result{}, now += 1s); }
    std::optional<transition> fail(std::string why = "refused")
    {
        return tracker.observe(failed(std::move(why)), now += 1s);
    }
    std::optional<transition> traffic_fails(std::string why = "refused")
    {
        return tracker.observe_connect_failure(failed(std::move(why)), now += 1s);
    }

    health_tracker tracker;
    time_point now{1000s};
};

bool is(const std::optional<transition>& flip, worker_health to)
{
    return flip && flip->to == to;
}

}  // namespace

TEST_CASE("a worker is unknown until its first probe has ended")
{
    const tracked w;
    CHECK(w.tracker.health() == worker_health::unknown);
    CHECK(w.tracker.last_error().empty());
}

TEST_CASE("the first probe decides at once")
{
    tracked passes;
    CHECK(is(passes.pass(), worker_health::up));
    CHECK(passes.tracker.health() == worker_health::up);

    tracked fails;
    const auto flip = fails.fail("no route");
    REQUIRE(is(flip, worker_health::down));
    CHECK(flip->reason == "no route");
    CHECK_FALSE(flip->lasted.has_value());
    CHECK(fails.tracker.last_error() == "no route");
}

TEST_CASE("a worker that is up goes down after so many failures in a row, once")
{
    tracked w{3, 2};
    w.pass();
    CHECK_FALSE(w.fail().has_value());
    CHECK_FALSE(w.fail().has_value());
    CHECK(w.tracker.health() == worker_health::up);
    CHECK(w.tracker.last_error().empty());
    CHECK(is(w.fail(), worker_health::down));
    CHECK_FALSE(w.fail().has_value());
}

TEST_CASE("a pass in between starts the count of failures again")
{
    tracked w{3, 2};
    w.pass();
    for (int i = 0; i < 5; ++i) {
        CHECK_FALSE(w.fail().has_value());
        CHECK_FALSE(w.fail().has_value());
        CHECK_FALSE(w.pass().has_value());
    }
    CHECK(w.tracker.health() == worker_health::up);
}

TEST_CASE("a worker that is down comes back after so many passes in a row, once")
{
    tracked w{3, 2};
    w.fail();
    CHECK_FALSE(w.pass().has_value());
    CHECK(w.tracker.health() == worker_health::down);
    CHECK_FALSE(w.fail().has_value());  // starts the count of passes again
    CHECK_FALSE(w.pass().has_value());
    const auto flip = w.pass();
    REQUIRE(is(flip, worker_health::up));
    CHECK(flip->reason.empty());
    CHECK(w.tracker.last_error().empty());
    CHECK_FALSE(w.pass().has_value());
}

TEST_CASE("a failed connection of real traffic takes a worker down at once")
{
    tracked w{3, 2};
    w.pass();
    const auto flip = w.traffic_fails("reset");
    REQUIRE(is(flip, worker_health::down));
    CHECK(flip->reason == "reset");
    CHECK_FALSE(w.traffic_fails().has_value());
    CHECK_FALSE(w.pass().has_value());
    CHECK(is(w.pass(), worker_health::up));
}

TEST_CASE("a failed connection of real traffic starts the count of passes again")
{
    tracked w{3, 2};
    w.fail();
    CHECK_FALSE(w.pass().has_value());
    CHECK_FALSE(w.traffic_fails().has_value());
    CHECK_FALSE(w.pass().has_value());
    CHECK(w.tracker.health() == worker_health::down);
    CHECK(is(w.pass(), worker_health::up));
}

TEST_CASE("traffic that fails before the first probe decides, and then one pass is not enough")
{
    tracked w{3, 2};
    CHECK(is(w.traffic_fails(), worker_health::down));
    CHECK_FALSE(w.pass().has_value());
    CHECK(is(w.pass(), worker_health::up));
}

TEST_CASE("the failures that took a worker down do not count again once it is back")
{
    tracked w{2, 1};
    w.fail();
    w.fail();
    w.fail();
    CHECK(is(w.pass(), worker_health::up));
    CHECK_FALSE(w.fail().has_value());
    CHECK(is(w.fail(), worker_health::down));
}

TEST_CASE("a transition tells how long the state before it lasted")
{
    tracked w{1, 1};
    w.pass();
    w.now += 59s;
    const auto down = w.fail();
    REQUIRE(down.has_value());
    CHECK(down->lasted == std::optional<duration>{60s});
    w.now += 9s;
    const auto up = w.pass();
    REQUIRE(up.has_value());
    CHECK(up->lasted == std::optional<duration>{10s});
}

TEST_CASE("while a worker is down the latest failure is the one that is shown")
{
    tracked w;
    w.fail("refused");
    w.fail("timed out");
    CHECK(w.tracker.last_error() == "timed out");
    w.traffic_fails("reset");
    CHECK(w.tracker.last_error() == "reset");
}

// Every sequence of eight events, against a model that looks at the whole history instead of counting along.
namespace {

enum event : std::uint8_t { pass, fail, traffic };

worker_health expected_after(worker_health before, const std::deque<event>& latest_first, std::uint32_t unhealthy_after,
                             std::uint32_t healthy_after)
{
    const auto in_a_row = [&](bool passes) {
        std::uint32_t n = 0;
        while (n < latest_first.size() && (latest_first[n] == pass) == passes) {
            ++n;
        }
        return n;
    };
    switch (latest_first.front()) {
        case traffic: return worker_health::down;
        case pass:
            return before == worker_health::unknown || in_a_row(true) >= healthy_after ? worker_health::up : before;
        case fail: break;
    }
    return before == worker_health::unknown || in_a_row(false) >= unhealthy_after ? worker_health::down : before;
}

bool agrees(int sequence, std::uint32_t unhealthy_after, std::uint32_t healthy_after)
{
    tracked w{unhealthy_after, healthy_after};
    std::deque<event> latest_first;
    worker_health expected = worker_health::unknown;
    for (int i = 0; i < 8; ++i, sequence /= 3) {
        const auto next = static_cast<event>(sequence % 3);
        latest_first.push_front(next);
        const auto before =
            std::exchange(expected, expected_after(expected, latest_first, unhealthy_after, healthy_after));
        const auto flip = next == pass ? w.pass() : next == fail ? w.fail() : w.traffic_fails();
        if (w.tracker.health() != expected || flip.has_value() != (expected != before)) {
            return false;
        }
    }
    return true;
}

}  // namespace

TEST_CASE("counting along agrees with the whole history for every sequence of events")
{
    constexpr int sequences = 3 * 3 * 3 * 3 * 3 * 3 * 3 * 3;
    for (std::uint32_t unhealthy_after = 1; unhealthy_after <= 3; ++unhealthy_after) {
        for (std::uint32_t healthy_after = 1; healthy_after <= 3; ++healthy_after) {
            int disagreements = 0;
            for (int sequence = 0; sequence < sequences; ++sequence) {
                disagreements += agrees(sequence, unhealthy_after, healthy_after) ? 0 : 1;
            }
            INFO("unhealthy_after " << unhealthy_after << ", healthy_after " << healthy_after);
            CHECK(disagreements == 0);
        }
    }
}
