#include "admin/access.hpp"

#include <catch2/catch.hpp>

using namespace buildkit_lb;
using namespace buildkit_lb::admin;

namespace {

using headers = std::map<std::string, std::string, std::less<>>;

const std::string token = "0123456789abcdef";

/// The status of the refusal of a POST with these headers; 0: it may.
unsigned post(const access_rules& rules, headers with)
{
    request asked;
    asked.method = "POST";
    asked.headers = std::move(with);
    const auto refused = rules.refuse(asked);
    return refused ? refused->status : 0;
}

}  // namespace

TEST_CASE("with a token, calls that change something need exactly that token")
{
    const access_rules rules{token, true};
    CHECK(post(rules, {{"authorization", "Bearer " + token}}) == 0);
    CHECK(post(rules, {{"authorization", "bearer   " + token}}) == 0);
    for (const std::string& wrong :
         {"Bearer " + token + "0", std::string{"Bearer 0123456789abcdeF"}, "Bearer " + token.substr(1),
          std::string{"Bearer "}, std::string{"Bearer"}, std::string{token}, "Basic " + token, std::string{}}) {
        INFO(wrong);
        CHECK(post(rules, {{"authorization", wrong}}) == 401);
    }
    request asked;
    asked.method = "DELETE";
    const auto refused = rules.refuse(asked);
    REQUIRE(refused);
    CHECK(refused->authenticate == R"(Bearer realm="buildkit-lb")");
    asked.headers["authorization"] = "Bearer nonsense";
    CHECK(rules.refuse(asked)->authenticate == R"(Bearer realm="buildkit-lb", error="invalid_token")");
    CHECK(rules.refuse(asked)->body.find(token) == std::string::npos);
}

TEST_CASE("reading needs no token")
{
    request asked;
    asked.method = "GET";
    CHECK_FALSE(access_rules(token, false).refuse(asked));
    asked.method = "HEAD";
    CHECK_FALSE(access_rules("", false).refuse(asked));
}

TEST_CASE("a token that is replaced is not taken any more")
{
    access_rules rules{token, true};
    rules.set_token("another-token-of-16");
    CHECK(post(rules, {{"authorization", "Bearer " + token}}) == 401);
    CHECK(post(rules, {{"authorization", "Bearer another-token-of-16"}}) == 0);
    rules.set_token("");
    CHECK(post(rules, {}) == 0);
}

TEST_CASE("without a token and not on loopback nobody may change anything")
{
    CHECK(post(access_rules{"", false}, {{"host", "127.0.0.1:9090"}}) == 403);
}

TEST_CASE("without a token programs and the server's own pages may, pages from elsewhere may not")
{
    const access_rules rules{"", true};
    CHECK(post(rules, {}) == 0);
    CHECK(post(rules, {{"host", "lb.example:9090"}}) == 0);
    CHECK(post(rules, {{"host", "127.0.0.1:9090"}, {"origin", "http://127.0.0.1:9090"}}) == 0);
    CHECK(post(rules, {{"host", "LocalHost:9090"}, {"origin", "http://localhost:9090"}}) == 0);
    CHECK(post(rules, {{"host", "[::1]:9090"}, {"origin", "http://[::1]:9090"}, {"sec-fetch-site", "same-origin"}}) ==
          0);

    CHECK(post(rules, {{"host", "127.0.0.1:9090"}, {"origin", "http://evil.example"}}) == 403);
    CHECK(post(rules, {{"host", "127.0.0.1:9090"}, {"origin", "http://127.0.0.1:8080"}}) == 403);
    CHECK(post(rules, {{"host", "127.0.0.1:9090"}, {"origin", "https://127.0.0.1:9090"}}) == 403);
    CHECK(post(rules, {{"host", "127.0.0.1:9090"}, {"origin", "null"}}) == 403);
    CHECK(post(rules, {{"host", "127.0.0.1:9090"}, {"sec-fetch-site", "cross-site"}}) == 403);
    CHECK(post(rules, {{"host", "127.0.0.1:9090"}, {"sec-fetch-site", "same-site"}}) == 403);
}

TEST_CASE("a name of somebody else's that leads here makes no page the server's own")
{
    const access_rules rules{"", true};
    for (const std::string& name : {"evil.example:9090", "127.evil.example:9090", "localhost.evil.example:9090"}) {
        INFO(name);
        CHECK(post(rules, {{"host", name}, {"origin", "http://" + name}, {"sec-fetch-site", "same-origin"}}) == 403);
    }
}
