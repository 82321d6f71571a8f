#include "admin/drain_wait.hpp"

#include <catch2/catch.hpp>

using namespace buildkit_lb;
using namespace buildkit_lb::admin;
using namespace std::chrono_literals;

namespace {

constexpr drain_sight idle{true, 0, 0};
constexpr drain_sight busy{true, 1, 0};
constexpr drain_sight asked{true, 0, 1};

}  // namespace

TEST_CASE("a worker is drained when it has had no build in any pool for a while")
{
    const time_point start{};
    drain_wait wait{start + 1h, 1s};
    CHECK_FALSE(wait.look({busy, idle}, start));
    CHECK_FALSE(wait.look({idle, busy}, start + 10s));
    CHECK_FALSE(wait.look({idle, idle}, start + 20s));
    CHECK_FALSE(wait.look({idle, idle}, start + 20s + 999ms));
    CHECK(wait.look({idle, idle}, start + 21s) == drain_end::drained);
}

TEST_CASE("internal builds count, and a build that comes meanwhile begins the while anew")
{
    const time_point start{};
    drain_wait wait{start + 1h, 1s};
    CHECK_FALSE(wait.look({idle}, start));
    CHECK_FALSE(wait.look({asked}, start + 900ms));
    CHECK_FALSE(wait.look({idle}, start + 2s));
    CHECK_FALSE(wait.look({idle}, start + 2900ms));
    CHECK(wait.look({idle}, start + 3s) == drain_end::drained);
}

TEST_CASE("a wait ends at its deadline while a build runs; one whose builds have ended is drained all the same")
{
    const time_point start{};
    drain_wait one{start + 10s, 1s};
    CHECK_FALSE(one.look({busy}, start + 9999ms));
    CHECK(one.look({busy}, start + 10s) == drain_end::timed_out);
    drain_wait other{start + 10s, 1s};
    CHECK_FALSE(other.look({idle}, start + 9900ms));
    CHECK_FALSE(other.look({idle}, start + 10s));
    CHECK(other.look({idle}, start + 10900ms) == drain_end::drained);
}

TEST_CASE("a wait ends when the worker is undrained in one of its pools")
{
    drain_wait wait{time_point{} + 1h};
    CHECK_FALSE(wait.look({busy, busy}, time_point{}));
    CHECK(wait.look({busy, {false, 0, 0}}, time_point{} + 1s) == drain_end::undrained);
}
