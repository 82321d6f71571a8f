#include "proxy/buildkit/liveness.hpp"

#include <catch2/catch.hpp>

using namespace buildkit_lb;
using namespace buildkit_lb::proxy;
using namespace std::chrono_literals;
using step = liveness::step;

namespace {

const time_point start{100h};

}  // namespace

TEST_CASE("a silent worker is asked once, and given up when its time is over")
{
    liveness watch;
    int asked = 0;
    time_point given_up;
    for (auto now = start; given_up == time_point{}; now += 1s) {
        switch (watch.look(30s, 1000, true, now)) {
            case step::ask:
                ++asked;
                CHECK(now == start + 10s);
                break;
            case step::give_up: given_up = now; break;
            case step::nothing: break;
        }
    }
    CHECK(asked == 1);
    CHECK(given_up == start + 30s);
}

TEST_CASE("whatever a worker sends is a sign of life")
{
    liveness watch;
    std::uint64_t bytes = 0;
    for (auto now = start; now < start + 1h; now += 1s) {
        bytes += (now - start) % 29s == 0s ? 1 : 0;
        CHECK(watch.look(30s, bytes, true, now) != step::give_up);
    }
}

TEST_CASE("a worker without calls is not asked, and may have been silent for long when one comes")
{
    liveness watch;
    auto now = start;
    for (; now < start + 1h; now += 1s) {
        CHECK(watch.look(30s, 7, false, now) == step::nothing);
    }
    CHECK(watch.look(30s, 7, true, now) == step::nothing);
    CHECK(watch.look(30s, 7, true, now + 9s) == step::ask);
}

TEST_CASE("a worker that answers late is asked again at the next silence")
{
    liveness watch;
    CHECK(watch.look(30s, 1, true, start) == step::nothing);
    CHECK(watch.look(30s, 1, true, start + 10s) == step::ask);
    CHECK(watch.look(30s, 2, true, start + 29s) == step::nothing);
    CHECK(watch.look(30s, 2, true, start + 31s) == step::nothing);
    CHECK(watch.look(30s, 2, true, start + 39s) == step::ask);
    CHECK(watch.look(30s, 2, true, start + 58s) == step::nothing);
    CHECK(watch.look(30s, 2, true, start + 59s) == step::give_up);
}

TEST_CASE("after a long pause of our own the worker is asked first")
{
    liveness watch;
    CHECK(watch.look(30s, 1, true, start) == step::nothing);
    CHECK(watch.look(30s, 1, true, start + 1h) == step::ask);
    CHECK(watch.look(30s, 1, true, start + 1h + 14s) == step::nothing);
    CHECK(watch.look(30s, 1, true, start + 1h + 15s) == step::give_up);
}

TEST_CASE("zero turns it off")
{
    liveness watch;
    for (auto now = start; now < start + 24h; now += 1min) {
        CHECK(watch.look(0s, 1, true, now) == step::nothing);
    }
}
