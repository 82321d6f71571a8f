#include "admin/router.hpp"

#include <catch2/catch.hpp>

using namespace buildkit_lb::admin;

namespace {

handler never_called()
{
    return immediately([](const request&) { return response{}; });
}

request ask(std::string method, std::string path)
{
    request r;
    r.method = std::move(method);
    r.path = std::move(path);
    return r;
}

const response* refusal(const std::variant<const handler*, response>& found)
{
    return std::get_if<response>(&found);
}

}  // namespace

TEST_CASE("a route is found by its method and path")
{
    router routes;
    routes.add("GET", "/metrics", never_called());
    auto known = ask("GET", "/metrics");
    CHECK(std::holds_alternative<const handler*>(routes.find(known)));
}

TEST_CASE("a path nobody knows is 404 with a JSON error")
{
    router routes;
    routes.add("GET", "/metrics", never_called());
    for (const char* path : {"/", "/metric", "/metrics/", "/metrics/x", "/Metrics"}) {
        INFO(path);
        auto unknown = ask("GET", path);
        const auto found = routes.find(unknown);
        REQUIRE(refusal(found) != nullptr);
        CHECK(refusal(found)->status == 404);
        CHECK(refusal(found)->content_type == "application/json");
        CHECK(refusal(found)->body == std::string{R"({"error":"nothing is at )"} + path + "\"}\n");
    }
}

TEST_CASE("a known path with another method is 405 and says which are allowed")
{
    router routes;
    routes.add("GET", "/thing", never_called());
    routes.add("POST", "/thing", never_called());
    auto wrong = ask("DELETE", "/thing");
    const auto found = routes.find(wrong);
    REQUIRE(refusal(found) != nullptr);
    CHECK(refusal(found)->status == 405);
    CHECK(refusal(found)->allow == "GET, HEAD, POST");
}

TEST_CASE("a star in a route matches one segment, which becomes a parameter")
{
    router routes;
    routes.add("POST", "/api/v1/workers/*/drain", never_called());
    auto drain = ask("POST", "/api/v1/workers/w1/drain");
    CHECK(std::holds_alternative<const handler*>(routes.find(drain)));
    CHECK(drain.parameters == std::vector<std::string>{"w1"});

    for (const char* path : {"/api/v1/workers//drain", "/api/v1/workers/w1/x/drain", "/api/v1/workers/w1"}) {
        INFO(path);
        auto other = ask("POST", path);
        CHECK(refusal(routes.find(other)) != nullptr);
    }
}

TEST_CASE("the root can have a route")
{
    router routes;
    routes.add("GET", "/", never_called());
    auto root = ask("GET", "/");
    CHECK(std::holds_alternative<const handler*>(routes.find(root)));
}

TEST_CASE("a request target is split and decoded")
{
    request r;
    REQUIRE(parse_target("/a%20b/c?wait=1&timeout=2h&flag&x=%26%3D", r));
    CHECK(r.path == "/a b/c");
    CHECK(r.query.at("wait") == "1");
    CHECK(r.query.at("timeout") == "2h");
    CHECK(r.query.at("flag").empty());
    CHECK(r.query.at("x") == "&=");
    CHECK(r.query.size() == 4);

    REQUIRE(parse_target("/plain", r));
    CHECK(r.query.empty());
    REQUIRE(parse_target("/plain?", r));
    CHECK(r.query.empty());
    REQUIRE(parse_target("/?a=1&a=2&&", r));
    CHECK(r.query.at("a") == "2");
    CHECK(r.query.size() == 1);
}

TEST_CASE("a broken request target is refused")
{
    request r;
    for (const char* target : {"", "metrics", "http://host/metrics", "*", "/%", "/%4", "/%zz", "/%-1", "/x?a=%g0"}) {
        INFO(target);
        CHECK_FALSE(parse_target(target, r));
    }
}

TEST_CASE("an error message that is not UTF-8 still makes valid JSON")
{
    CHECK(error_response(404, "\xff").body == "{\"error\":\"\xEF\xBF\xBD\"}\n");
}
