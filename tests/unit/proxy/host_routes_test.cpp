#include "proxy/host_routes.hpp"

#include <catch2/catch.hpp>

using namespace buildkit_lb::proxy;

TEST_CASE("a host is served by the route of its very name, else of the longest pattern, else of the listener")
{
    int listener = 0, all = 0, team = 0, one = 0;
    const std::vector<host_route<int>> routes{
        {"*.example.test", &all}, {"*.team.example.test", &team}, {"one.team.example.test", &one}};
    const auto served_by = [&](std::string_view host) { return &find_by_host(routes, host, listener); };
    CHECK(served_by("one.team.example.test") == &one);
    CHECK(served_by("two.team.example.test") == &team);
    CHECK(served_by("team.example.test") == &all);
    CHECK(served_by("a.b.example.test") == &all);
    CHECK(served_by("example.test") == &listener);
    CHECK(served_by("") == &listener);
}
