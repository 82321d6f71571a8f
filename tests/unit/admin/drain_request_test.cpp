#include "admin/drain_request.hpp"

#include <catch2/catch.hpp>

using namespace buildkit_lb;
using namespace buildkit_lb::admin;
using namespace std::chrono_literals;

TEST_CASE("a drain asks for nothing, a wait, a time or a pool")
{
    const auto plain = read_drain_request({});
    REQUIRE(plain.has_value());
    CHECK_FALSE(plain->wait);
    CHECK(plain->pool.empty());
    const auto all = read_drain_request({{"wait", "1"}, {"timeout", "1h30m"}, {"pool", "arm"}});
    REQUIRE(all.has_value());
    CHECK(all->wait);
    CHECK(all->timeout == 90min);
    CHECK(all->pool == "arm");
    CHECK(read_drain_request({{"wait", "true"}})->timeout == 2h);
    CHECK_FALSE(read_drain_request({{"wait", "0"}})->wait);
}

TEST_CASE("what a drain can't mean is refused, never ignored")
{
    const std::map<std::string, std::string> cases[] = {
        {{"wiat", "1"}},
        {{"wait", ""}},
        {{"wait", "yes"}},
        {{"wait", "1"}, {"timeout", "2"}},
        {{"wait", "1"}, {"timeout", "soon"}},
        {{"wait", "1"}, {"timeout", "169h"}},
        {{"wait", "1"}, {"timeout", "-1s"}},
        {{"wait", "1"}, {"timeout", ""}},
        {{"timeout", "2h"}},
        {{"wait", "0"}, {"timeout", "2h"}},
    };
    for (const auto& query : cases) {
        INFO(query.begin()->first << " " << query.rbegin()->second);
        CHECK_FALSE(read_drain_request(query).has_value());
    }
    CHECK(read_drain_request({{"wait", "1"}, {"timeout", "2"}}).error().text ==
          "timeout: '2' has no unit: write, for example, 2s; allowed: a duration from 0s to 168h, such as 2h");
    CHECK(*read_undrain_request({{"pool", "arm"}}) == "arm");
    CHECK(read_undrain_request({})->empty());
    CHECK_FALSE(read_undrain_request({{"wait", "1"}}).has_value());
}
