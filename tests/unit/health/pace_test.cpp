#include "health/pace.hpp"

#include <catch2/catch.hpp>

using namespace buildkit_lb;
using namespace std::chrono_literals;
using health::pause_between_probes;

TEST_CASE("probes begin the interval apart, or up to a fifth sooner, never later")
{
    CHECK(pause_between_probes(1s, 0ms, 0) == 1s);
    CHECK(pause_between_probes(1s, 0ms, 0.5) == 900ms);
    const auto soonest = pause_between_probes(1s, 0ms, 0.999999);
    CHECK(soonest >= 800ms);
    CHECK(soonest < 801ms);
}

TEST_CASE("the time that a probe took is part of the interval; one that took longer is followed at once")
{
    CHECK(pause_between_probes(1s, 300ms, 0) == 700ms);
    CHECK(pause_between_probes(1s, 300ms, 0.5) == 600ms);
    CHECK(pause_between_probes(1s, 1s, 0) == 0ms);
    CHECK(pause_between_probes(1s, 7s, 0.5) == 0ms);
}
