#include "tls/certificate_names.hpp"

#include <catch2/catch.hpp>

namespace buildkit_lb::tls {

TEST_CASE("a pattern means one name, or what has one label more")
{
    CHECK(name_matches("ci.example", "ci.example"));
    CHECK_FALSE(name_matches("ci.example", "CI.example"));
    CHECK(name_matches("a.ci.example", "*.ci.example"));
    CHECK_FALSE(name_matches("ci.example", "*.ci.example"));
    CHECK_FALSE(name_matches("a.b.ci.example", "*.ci.example"));
    CHECK_FALSE(name_matches(".ci.example", "*.ci.example"));
    CHECK_FALSE(name_matches("aci.example", "*.ci.example"));
    CHECK(name_matches("spiffe://example/ci", "spiffe://example/ci"));
    CHECK_FALSE(name_matches("", "*.example"));
}

TEST_CASE("the first name that is allowed is the client's")
{
    const std::vector<std::string> names{"x.example", "b.ci.example", "a.ci.example"};
    const std::vector<std::string> patterns{"a.ci.example", "*.ci.example"};
    CHECK(first_allowed(names, patterns) == "b.ci.example");
    CHECK(first_allowed(names, {}).empty());
    CHECK(first_allowed({}, patterns).empty());
}

}  // namespace buildkit_lb::tls
