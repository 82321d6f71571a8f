#include "proxy/buildkit/service.hpp"

#include <catch2/catch.hpp>

#include "balancer/policies/registry.hpp"

using namespace buildkit_lb;
using namespace buildkit_lb::proxy;

TEST_CASE("the name that a client dialled leads to its pool", "[service]")
{
    metrics::instruments instruments{"test"};
    upstream_pool workers;
    buildkit_pool shared{workers, {}};
    const auto make = [&] {
        return buildkit_service{"l",  shared, instruments, instruments.for_listener("l"), std::chrono::seconds{1},
                                true, {},     {}};
    };
    auto own = make();
    auto team = make();
    auto below = make();
    auto deeper = make();
    CHECK(&own.for_host("team.example") == &own);
    own.hosts = {{"*.example", &below}, {"team.example", &team}, {"*.b.example", &deeper}};
    CHECK(&own.for_host("team.example") == &team);
    CHECK(&own.for_host("other.example") == &below);
    CHECK(&own.for_host("a.b.example") == &deeper);
    CHECK(&own.for_host("example") == &own);
    CHECK(&own.for_host("") == &own);
}
