#include "admin/access.hpp"

#include <catch2/catch.hpp>

using namespace buildkit_lb;
using namespace buildkit_lb::admin;

namespace {

using headers = std::map<std::string, std::string, std::less<>>;

using reach = access_rules::reach;

const std::string token = "0123456789abcdef";

/// The status of the refusal of a request with these headers; 0: it may.
unsigned ask(const access_rules& rules, const std::string& method, headers with)
{
    request asked;
    asked.method = method;
    asked.headers = std::move(with);
    const auto refused = rules.refuse(asked);
    return refused ? refused->status : 0;
}

unsigned post(const access_rules& rules, headers with)
{
    return ask(rules, "POST", std::move(with));
}

unsigned get(const access_rules& rules, headers with)
{
    return ask(rules, "GET", std::move(with));
}

}  // namespace

TEST_CASE("with a token, calls that change something need exactly that token")
{
    const access_rules rules{token, reach::loopback};
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
    CHECK_FALSE(access_rules(token, reach::network).refuse(asked));
    asked.method = "HEAD";
    CHECK_FALSE(access_rules("", reach::network).refuse(asked));
}

TEST_CASE("a token that is replaced is not taken any more")
{
    access_rules rules{token, reach::loopback};
    rules.set_token("another-token-of-16");
    CHECK(post(rules, {{"authorization", "Bearer " + token}}) == 401);
    CHECK(post(rules, {{"authorization", "Bearer another-token-of-16"}}) == 0);
    rules.set_token("");
    CHECK(post(rules, {}) == 0);
}

TEST_CASE("without a token and not on loopback nobody may change anything")
{
    CHECK(post(access_rules("", reach::network), {{"host", "127.0.0.1:9090"}}) == 403);
}

TEST_CASE("without a token programs and the server's own pages may, pages from elsewhere may not")
{
    const access_rules rules{"", reach::loopback};
    CHECK(post(rules, {}) == 0);
    CHECK(post(rules, {{"host", "lb.example:9090"}}) == 0);
    CHECK(post(rules, {{"host", "127.0.0.1:9090"}, {"origin", "http://127.0.0.1:9090"}}) == 0);
    CHECK(post(rules, {{"host", "LocalHost:9090"}, {"origin", "http://localhost:9090"}}) == 0);
    CHECK(post(rules, {{"host", "[::1]:9090"}, {"origin", "http://[::1]:9090"}, {"sec-fetch-site", "same-origin"}}) ==
          0);

    CHECK(post(rules, {{"host", "127.0.0.1:9090"}, {"origin", "http://evil.example"}}) == 403);
    CHECK(post(rules, {{"host", "127.0.0.1:9090"}, {"origin", "http://127.0.0.1:8080"}}) == 403);
    CHECK(post(rules, {{"host", "127.0.0.1:9090"}, {"origin", "null"}}) == 403);
    CHECK(post(rules, {{"host", "127.0.0.1:9090"}, {"sec-fetch-site", "cross-site"}}) == 403);
    CHECK(post(rules, {{"host", "127.0.0.1:9090"}, {"sec-fetch-site", "same-site"}}) == 403);
}

TEST_CASE("reading is for programs and for people, not for pages of other sites")
{
    for (const auto from : {reach::loopback, reach::network, reach::unix_socket}) {
        const access_rules rules{"", from};
        CHECK(get(rules, {}) == 0);
        CHECK(get(rules, {{"host", "127.0.0.1:9090"}}) == 0);
        CHECK(get(rules, {{"host", "10.0.0.7:9090"}}) == 0);
        CHECK(get(rules, {{"host", "[fd00::7]:9090"}}) == 0);
        CHECK(get(rules, {{"host", "localhost:9090"}, {"sec-fetch-site", "none"}}) == 0);
        CHECK(get(rules, {{"host", "localhost"}, {"origin", "http://localhost"}, {"sec-fetch-site", "same-origin"}}) ==
              0);
        CHECK(get(rules, {{"host", "localhost"}, {"origin", "http://evil.example"}}) == 403);
        CHECK(get(rules, {{"host", "localhost"}, {"origin", "null"}}) == 403);
        CHECK(get(rules, {{"host", "localhost"}, {"sec-fetch-site", "cross-site"}, {"sec-fetch-mode", "cors"}}) == 403);
        CHECK(get(rules, {{"host", "localhost"}, {"sec-fetch-site", "same-site"}, {"sec-fetch-mode", "no-cors"}}) ==
              403);
        CHECK(get(rules, {{"host", "localhost"},
                          {"sec-fetch-site", "cross-site"},
                          {"sec-fetch-mode", "navigate"},
                          {"sec-fetch-dest", "iframe"}}) == 403);
        // A link on a dashboard.
        const headers followed{{"host", "localhost"},
                               {"sec-fetch-site", "cross-site"},
                               {"sec-fetch-mode", "navigate"},
                               {"sec-fetch-dest", "document"}};
        CHECK(get(rules, followed) == 0);
        CHECK(post(rules, followed) == 403);
    }
}

TEST_CASE("a server on loopback is called by an address, localhost or a name of its list")
{
    access_rules rules{"", reach::loopback};
    CHECK(get(rules, {{"host", "evil.example:9090"}}) == 403);
    CHECK(get(rules, {{"host", "127.evil.example"}}) == 403);
    CHECK(get(rules, {{"host", "[::1"}}) == 403);
    rules.set_hosts({"lb.example", "*.lbs.example"});
    CHECK(get(rules, {{"host", "LB.example:9090"}}) == 0);
    CHECK(get(rules, {{"host", "a.b.lbs.example"}}) == 0);
    CHECK(get(rules, {{"host", "lbs.example"}}) == 403);
    CHECK(get(rules, {{"host", "evil.example"}}) == 403);
    CHECK(post(rules, {{"host", "lb.example"}, {"origin", "https://lb.example"}}) == 0);
}

TEST_CASE("a server on the network is called by any name, until there is a list")
{
    access_rules rules{token, reach::network};
    CHECK(get(rules, {{"host", "lb.example"}}) == 0);
    rules.set_hosts({"lb.example"});
    CHECK(get(rules, {{"host", "lb.example"}}) == 0);
    CHECK(get(rules, {{"host", "evil.example"}}) == 403);
    CHECK(get(rules, {{"host", "10.1.2.3:9090"}}) == 0);
}

TEST_CASE("who has the token is no page of another site")
{
    access_rules rules{token, reach::network};
    rules.set_hosts({"lb.example"});
    const headers from_elsewhere{{"host", "other.example"}, {"origin", "http://ui.example"}};
    CHECK(post(rules, from_elsewhere) == 403);
    headers with = from_elsewhere;
    with["authorization"] = "Bearer " + token;
    CHECK(post(rules, with) == 0);
}

TEST_CASE("a name of somebody else's that leads here makes no page the server's own")
{
    const access_rules rules{"", reach::loopback};
    for (const std::string& name : {"evil.example:9090", "127.evil.example:9090", "localhost.evil.example:9090"}) {
        INFO(name);
        CHECK(post(rules, {{"host", name}, {"origin", "http://" + name}, {"sec-fetch-site", "same-origin"}}) == 403);
    }
}
