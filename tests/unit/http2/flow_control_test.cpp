#include "http2/flow_control.hpp"

#include <catch2/catch.hpp>
#include <random>
#include <vector>

using namespace buildkit_lb::http2;
using stream_window = receive_budget::stream_window;

namespace {

options limits(std::uint32_t initial, std::uint32_t largest, std::uint32_t connection, std::size_t budget)
{
    options o;
    o.initial_stream_window = initial;
    o.max_stream_window = largest;
    o.connection_window = connection;
    o.memory_budget = budget;
    return o;
}

}  // namespace

TEST_CASE("Credit of a stream comes back in quarters of its window")
{
    receive_budget b{limits(1000, 1000, 100000, 1000000)};
    stream_window w;
    b.open(w);
    b.received(w, 600);
    CHECK(b.consumed(w, 100) == 0);
    CHECK(b.consumed(w, 149) == 0);
    CHECK(b.consumed(w, 1) == 250);
    CHECK(b.consumed(w, 350) == 350);
    CHECK(w.credit == 1000);
    CHECK(b.buffered() == 0);
    CHECK(b.extra() == 0);
}

TEST_CASE("A window doubles once a whole window was consumed quickly, up to its bound")
{
    receive_budget b{limits(1000, 3000, 100000, 1000000)};
    stream_window w;
    b.open(w);
    std::vector<std::uint32_t> sizes;
    for (int i = 0; i < 20; ++i) {
        b.received(w, 500);
        b.consumed(w, 500);
        sizes.push_back(w.target);
    }
    CHECK(sizes[0] == 1000);
    CHECK(sizes[1] == 2000);
    CHECK(sizes[4] == 2000);
    CHECK(sizes[5] == 3000);
    CHECK(sizes.back() == 3000);
    CHECK(b.extra() == 2000);
    b.ended(w);
    CHECK(b.extra() == 0);
}

TEST_CASE("A window whose stream is consumed slowly does not grow")
{
    receive_budget b{limits(1000, 8000, 100000, 1000000)};
    stream_window w;
    b.open(w);
    b.received(w, 1000);
    for (int i = 0; i < 50; ++i) {
        const std::uint32_t grant = b.consumed(w, 250);
        CHECK(w.target == 1000);
        b.received(w, grant);
    }
}

TEST_CASE("Growth stops at the budget, and windows fall back while buffers fill it")
{
    receive_budget b{limits(1000, 64000, 65535, 80000)};
    stream_window fast;
    stream_window slow;
    b.open(fast);
    b.open(slow);
    for (int i = 0; i < 1000; ++i) {
        b.received(fast, 500);
        b.consumed(fast, 500);
    }
    CHECK(fast.target == 64000);
    CHECK(b.extra() == 63000);

    // Other streams' initial windows are used: 30 of them, unconsumed.
    std::vector<stream_window> others(30);
    for (stream_window& w : others) {
        b.open(w);
        b.received(w, 1000);
    }
    CHECK(b.buffered() + b.extra() > 80000);
    b.received(fast, 500);
    b.consumed(fast, 500);
    CHECK(fast.target == 1000);
    // What was granted can't be taken back: it stays charged until it is used.
    CHECK(b.extra() > 50000);
    for (int i = 0; i < 200; ++i) {
        b.received(fast, 500);
        b.consumed(fast, 500);
    }
    CHECK(b.buffered() + b.extra() <= 80000);
    CHECK(fast.credit < 51000);
    CHECK(fast.credit > 16000);
}

TEST_CASE("The connection's credit is withheld where buffers would break the budget, and comes back")
{
    receive_budget b{limits(100000, 100000, 70000, 100000)};
    stream_window w;
    b.open(w);
    b.received(w, 30000);
    CHECK(b.take_connection_credit() == 30000);
    b.received(w, 40000);
    // 70000 buffered: the peer may have 30000 of credit, and has them already.
    CHECK(b.take_connection_credit() == 0);
    b.received(w, 30000);
    CHECK(b.buffered() == 100000);
    CHECK(b.connection_credit() == 0);
    CHECK(b.take_connection_credit() == 0);
    b.consumed(w, 60000);
    CHECK(b.take_connection_credit() == 60000);
    b.consumed(w, 40000);
    CHECK(b.take_connection_credit() == 10000);
    CHECK(b.connection_credit() == 70000);
}

TEST_CASE("Bytes nobody wants cost the connection nothing")
{
    receive_budget b{limits(1000, 1000, 65535, 65535)};
    b.received_unwanted(5000);
    CHECK(b.buffered() == 0);
    CHECK(b.take_connection_credit() == 5000);
}

TEST_CASE("A stream that was given up is charged no more, one that ended is until it is consumed")
{
    receive_budget b{limits(1000, 1000, 65535, 1000000)};
    stream_window one;
    stream_window two;
    b.open(one);
    b.open(two);
    b.received(one, 700);
    b.received(two, 300);
    b.abandoned(one);
    CHECK(b.buffered() == 300);
    b.ended(two);
    CHECK(b.buffered() == 300);
    CHECK(b.consumed(two, 1000) == 0);
    CHECK(b.buffered() == 0);
}

TEST_CASE("Whatever a peer does with its credit, the bounds of the budget hold")
{
    std::mt19937 random{7};
    const std::size_t budget = 300000;
    receive_budget b{limits(20000, 160000, 90000, budget)};
    struct peer_stream {
        stream_window w;
        std::int64_t credit = 20000;  // as the peer sees it
    };
    std::vector<peer_stream> streams(40);
    for (auto& s : streams) {
        b.open(s.w);
    }
    std::int64_t connection = 90000;
    std::size_t most = 0;
    for (int step = 0; step < 200000; ++step) {
        auto& s = streams[random() % streams.size()];
        const bool slow = (&s - streams.data()) % 3 == 0;
        if (random() % 2 == 0) {
            const auto size = std::min<std::int64_t>({s.credit, connection, 16384});
            if (size > 0) {
                s.credit -= size;
                connection -= size;
                b.received(s.w, static_cast<std::size_t>(size));
            }
        } else if (!slow || random() % 50 == 0) {
            s.credit += b.consumed(s.w, random() % 2 == 0 ? s.w.unconsumed : s.w.unconsumed / 2);
        }
        connection += static_cast<std::int64_t>(b.take_connection_credit());
        most = std::max(most, b.buffered());
        REQUIRE(s.credit == s.w.credit);
        REQUIRE(connection == static_cast<std::int64_t>(b.connection_credit()));
        REQUIRE(b.buffered() + b.connection_credit() <= budget);
        REQUIRE(s.w.extra <= 160000 - 20000);
        REQUIRE(b.extra() <= budget);
    }
    CHECK(most > 200000);  // it was tried

    // Everything consumed: nothing is charged, and all credit is back but for what is owed in less than quarters.
    std::size_t extra = 0;
    for (auto& s : streams) {
        b.consumed(s.w, s.w.unconsumed);
        CHECK(s.w.credit > s.w.target * 3 / 4);
        extra += s.w.extra;
    }
    b.take_connection_credit();
    CHECK(b.buffered() == 0);
    CHECK(b.extra() == extra);
    CHECK(b.connection_credit() == 90000);
}
