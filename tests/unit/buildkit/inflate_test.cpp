#include "buildkit/inflate.hpp"

#include <catch2/catch.hpp>
#include <string>

#include "common/deflated.hpp"

using namespace buildkit_lb;
using namespace buildkit_lb::buildkit;
using namespace buildkit_lb::test;

TEST_CASE("gzip, zlib and several members are inflated")
{
    const std::string text(100'000, 'q');
    for (const int window : {gzip, zlib}) {
        const auto out = inflate(deflated(text, window), failure_source::downstream);
        REQUIRE(out.has_value());
        CHECK(*out == text);
    }
    const auto both = inflate(deflated("one", gzip) + deflated("two", gzip), failure_source::downstream);
    REQUIRE(both.has_value());
    CHECK(*both == "onetwo");
    const auto nothing = inflate(deflated("", gzip), failure_source::downstream);
    REQUIRE(nothing.has_value());
    CHECK(nothing->empty());
}

TEST_CASE("a bomb stops at the limit")
{
    const std::string bomb = deflated(std::string(8 << 20, '\0'), gzip);
    REQUIRE(bomb.size() < 20'000);
    const auto out = inflate(bomb, failure_source::downstream, 1 << 20);
    REQUIRE_FALSE(out.has_value());
    CHECK(out.error().code == errc::too_large);
    CHECK(out.error().source == failure_source::downstream);
    CHECK(inflate(bomb, failure_source::downstream, 8 << 20).has_value());
}

TEST_CASE("compressed bytes that are cut, broken or absent are a protocol error")
{
    const std::string good = deflated("some text that is long enough to be cut anywhere", gzip);
    for (std::size_t size = 0; size < good.size(); ++size) {
        CAPTURE(size);
        const auto out = inflate(good.substr(0, size), failure_source::upstream);
        REQUIRE_FALSE(out.has_value());
        CHECK(out.error().code == errc::protocol);
    }
    CHECK_FALSE(inflate("plain text", failure_source::upstream).has_value());
    CHECK_FALSE(inflate(good + "tail", failure_source::upstream).has_value());
    std::string broken = good;
    broken[good.size() - 6] = static_cast<char>(broken[good.size() - 6] ^ 1);  // the checksum
    CHECK_FALSE(inflate(broken, failure_source::upstream).has_value());
}

TEST_CASE("only flagged messages are inflated for reading")
{
    const auto plain = readable({.payload = "abc", .compressed = false}, failure_source::downstream);
    REQUIRE(plain.has_value());
    CHECK(*plain == "abc");
    const auto packed = readable({.payload = deflated("abc", gzip), .compressed = true}, failure_source::downstream);
    REQUIRE(packed.has_value());
    CHECK(*packed == "abc");
}
