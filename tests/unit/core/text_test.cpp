#include "core/text.hpp"

#include <catch2/catch.hpp>

using namespace buildkit_lb;

TEST_CASE("letters become lower case, and nothing else changes")
{
    CHECK(lower_case("Builds.Example.TEST-1_ä") == "builds.example.test-1_ä");
    CHECK(lower_case("").empty());
}

TEST_CASE("a pattern means the very host, or all below a name")
{
    CHECK(host_matches("builds.example.test", "builds.example.test"));
    CHECK_FALSE(host_matches("other.example.test", "builds.example.test"));
    CHECK(host_matches("a.example.test", "*.example.test"));
    CHECK(host_matches("a.b.example.test", "*.example.test"));
    CHECK_FALSE(host_matches("example.test", "*.example.test"));
    CHECK_FALSE(host_matches(".example.test", "*.example.test"));
    CHECK_FALSE(host_matches("anexample.test", "*.example.test"));
    CHECK_FALSE(host_matches("", "*.example.test"));
}
