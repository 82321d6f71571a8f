#include "buildkit/version_order.hpp"

#include <catch2/catch.hpp>
#include <compare>

namespace {

bool older(const char* a, const char* b)
{
    return std::is_lt(buildkit_lb::buildkit::compare_versions(a, b));
}

bool equal(const char* a, const char* b)
{
    return std::is_eq(buildkit_lb::buildkit::compare_versions(a, b));
}

}  // namespace

TEST_CASE("versions are ordered as semver.org has it, and what is no version is the oldest")
{
    const char* const ascending[] = {
        "",
        "v0.9.0",
        "v0.13.0-alpha",
        "v0.13.0-alpha.1",
        "v0.13.0-alpha.beta",
        "v0.13.0-beta.2",
        "v0.13.0-beta.11",
        "v0.13.0-rc1",
        "v0.13.0",
        "v0.13.1",
        "v0.34.2",
        "v1.0.0",
    };
    for (std::size_t i = 0; i < std::size(ascending); ++i) {
        for (std::size_t j = 0; j < std::size(ascending); ++j) {
            INFO(ascending[i] << " and " << ascending[j]);
            CHECK(older(ascending[i], ascending[j]) == (i < j));
            CHECK(equal(ascending[i], ascending[j]) == (i == j));
        }
    }
}

TEST_CASE("the v, build metadata and leading zeros of a version do not count")
{
    CHECK(equal("0.13.0", "v0.13.0"));
    CHECK(equal("v0.13.0+incompatible", "v0.13.0"));
    CHECK(equal("v0.013.0", "v0.13.0"));
    CHECK(equal("v0.13.0-rc.01", "v0.13.0-rc.1"));
    CHECK(older("v1.0.0", "v99999999999999999999999.0.0"));
}

TEST_CASE("texts that are no version are all the same, and older than any")
{
    for (const char* text : {"", "v", "master", "0.13", "v0.13.0.1", "v0..1", "b2d3f1a"}) {
        INFO(text);
        CHECK(older(text, "v0.0.1-alpha"));
        CHECK(equal(text, "unknown"));
    }
}
