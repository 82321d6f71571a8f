#include "http2/flood_guard.hpp"

#include <catch2/catch.hpp>
#include <chrono>

using namespace buildkit_lb;
using namespace buildkit_lb::http2;
using namespace std::chrono_literals;

namespace {

constexpr time_point start{1h};

flood_limits ten_each()
{
    return {.resets = 10,
            .pings = 10,
            .settings = 10,
            .window_updates = 10,
            .priorities = 10,
            .empty_frames = 10,
            .burst_seconds = 5};
}

struct frame_kind {
    std::uint8_t type;
    std::uint8_t flags;
    std::uint32_t length;
    flood makes;
};

flood send(flood_guard& guard, const frame_kind& frame, time_point now)
{
    return guard.frame(frame.type, frame.flags, frame.length, now);
}

/// How many of them pass at once, of at most `most`.
int passing(flood_guard& guard, const frame_kind& frame, time_point now, int most = 1000)
{
    int passed = 0;
    while (passed < most && send(guard, frame, now) == flood::none) {
        ++passed;
    }
    return passed;
}

constexpr frame_kind rst_stream{3, 0, 4, flood::resets};
constexpr frame_kind ping{6, 0, 8, flood::pings};
constexpr frame_kind settings{4, 0, 0, flood::settings};
constexpr frame_kind window_update{8, 0, 4, flood::window_updates};

}  // namespace

TEST_CASE("Every kind of frame without payload has a burst and a rate of its own")
{
    const frame_kind frame =
        GENERATE(frame_kind{rst_stream}, ping, frame_kind{6, 1, 8, flood::pings}, settings,
                 frame_kind{4, 1, 0, flood::settings}, window_update, frame_kind{2, 0, 5, flood::priorities},
                 frame_kind{7, 0, 8, flood::priorities}, frame_kind{5, 4, 20, flood::priorities},
                 frame_kind{0xaa, 0, 100, flood::priorities}, frame_kind{0, 0, 0, flood::empty_frames},
                 frame_kind{0, 8, 256, flood::empty_frames}, frame_kind{9, 0, 0, flood::empty_frames});
    flood_guard guard{ten_each()};
    CHECK(passing(guard, frame, start) == 50);
    CHECK(send(guard, frame, start) == frame.makes);
    CHECK(passing(guard, frame, start + 1s) == 10);
    CHECK(passing(guard, frame, start + 1h) == 50);
    // None of it was at the cost of the others.
    for (const frame_kind& other : {rst_stream, ping, settings, window_update}) {
        if (other.makes != frame.makes) {
            CHECK(passing(guard, other, start + 1h) == 50);
        }
    }
}

TEST_CASE("Frames that carry something, or end something, are no flood")
{
    const frame_kind frame = GENERATE(frame_kind{0, 0, 1, {}}, frame_kind{0, 1, 0, {}}, frame_kind{0, 9, 256, {}},
                                      frame_kind{0, 8, 257, {}}, frame_kind{1, 4, 10, {}}, frame_kind{9, 0, 1, {}});
    flood_guard guard{ten_each()};
    CHECK(passing(guard, frame, start, 10000) == 10000);
}

TEST_CASE("A rate that is kept for ever meets no limit, one above it does soon")
{
    flood_guard guard{ten_each()};
    for (int i = 0; i < 100000; ++i) {
        REQUIRE(send(guard, ping, start + i * 100ms) == flood::none);
    }
    int more = 0;
    while (send(guard, ping, start + 10000s + more * 50ms) == flood::none) {
        ++more;
    }
    CHECK(more == Approx(100).margin(2));
}

TEST_CASE("A SETTINGS frame counts by its entries")
{
    flood_guard guard{ten_each()};
    CHECK(passing(guard, {4, 0, 60, flood::settings}, start) == 5);
}

TEST_CASE("What we send pays for the answers to it")
{
    flood_guard guard{ten_each()};
    SECTION("a reader at any speed: two WINDOW_UPDATE frames and a PING for each DATA frame")
    {
        for (int i = 0; i < 100000; ++i) {
            guard.data_sent();
            REQUIRE(send(guard, window_update, start) == flood::none);
            REQUIRE(send(guard, window_update, start) == flood::none);
            REQUIRE(send(guard, ping, start) == flood::none);
        }
        CHECK(passing(guard, rst_stream, start) == 50);
    }
    SECTION("a server that resets each of our requests")
    {
        for (int i = 0; i < 100000; ++i) {
            guard.request_sent();
            REQUIRE(send(guard, rst_stream, start) == flood::none);
        }
    }
    SECTION("but it is not saved without a bound")
    {
        for (int i = 0; i < 100000; ++i) {
            guard.data_sent();
            guard.request_sent();
        }
        CHECK(passing(guard, window_update, start) == 50);
        CHECK(passing(guard, ping, start) == 50);
        CHECK(passing(guard, rst_stream, start) == 50);
    }
}

TEST_CASE("Resets that a peer causes count like its own")
{
    flood_guard guard{ten_each()};
    for (int i = 0; i < 25; ++i) {
        REQUIRE(guard.reset_caused(false, start) == flood::none);
        REQUIRE(send(guard, rst_stream, start) == flood::none);
    }
    CHECK(guard.reset_caused(false, start) == flood::resets);
    CHECK(guard.reset_caused(true, start + 1s) == flood::resets);
    CHECK(guard.reset_caused(true, start + 2s) == flood::none);
    CHECK(send(guard, rst_stream, start + 2s) == flood::resets);
}
