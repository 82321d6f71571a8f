#include "balancer/stall_rule.hpp"

#include <catch2/catch.hpp>

using namespace buildkit_lb;
using namespace buildkit_lb::balancer;
using namespace std::chrono_literals;

namespace {

using names = std::vector<std::string>;
constexpr time_point start{};

}  // namespace

TEST_CASE("an invocation whose running builds stand still while others of it wait is stalled after ten seconds")
{
    stall_rule rule;
    const std::vector<build_motion> running{
        {"bake", start, false}, {"bake", start + 2s, false}, {"other", start, true}};
    CHECK(rule.find({"bake", "other"}, running, start + 11s).empty());
    CHECK(rule.find({"bake", "other"}, running, start + 12s) == names{"bake"});
}

TEST_CASE("an invocation with an open step, with a silent RUN for example, is not stalled")
{
    stall_rule rule;
    CHECK(rule.find({"bake"}, {{"bake", start, true}, {"bake", start, false}}, start + 1h).empty());
}

TEST_CASE("an invocation without running builds only waits its turn")
{
    stall_rule rule;
    CHECK(rule.find({"bake"}, {{"other", start, false}}, start + 1h).empty());
}

TEST_CASE("an invocation that was stalled once is given the next worker after a second, until none of it waits")
{
    stall_rule rule;
    REQUIRE(rule.find({"bake"}, {{"bake", start, false}}, start + 10s) == names{"bake"});
    const std::vector<build_motion> two{{"bake", start, false}, {"bake", start + 11s, false}};
    CHECK(rule.find({"bake"}, two, start + 11500ms).empty());
    CHECK(rule.find({"bake"}, two, start + 12s) == names{"bake"});

    CHECK(rule.find({}, two, start + 13s).empty());
    CHECK(rule.find({"bake"}, two, start + 14s).empty());
    CHECK(rule.find({"bake"}, two, start + 21s) == names{"bake"});
}
