#include "state/codec.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

using namespace buildkit_lb::state;
using namespace std::chrono_literals;

namespace {

const wall_time start{1'767'323'045s};

std::string encoded(const std::vector<saved_pool>& pools)
{
    encoder text;
    std::string out = text.begin(start);
    for (const auto& p : pools) {
        out += text.begin_pool(p.name);
        for (const auto& k : p.keys) {
            out += text.key(k);
        }
        out += text.end_pool(p.addresses, p.drained);
    }
    return out + text.end();
}

const std::vector<saved_pool> sample{
    {"arm", {}, {}, {}},
    {"default",
     {{"example.test/team/app", {{"w2", start, 0.8333}, {"w1", start - 1h, 1}}}, {"other", {{"w1", start, 0}}}},
     {{"w1", "tcp://10.0.0.11:1234"}, {"w2", "unix:///run/w2.sock"}},
     {"w3"}}};

std::string why_not(std::string_view text)
{
    const auto read = decode(text);
    return read ? "read" : read.error().text;
}

}  // namespace

TEST_CASE("the state file is one JSON document with a line for each key, of a form that later versions have to read")
{
    CHECK(encoded(sample) == R"({"buildkit_lb_state":1,"written":1767323045,"pools":{
"arm":{"keys":[
],"workers":{},"drained":[]},
"default":{"keys":[
{"key":"example.test/team/app","warm":[{"worker":"w2","built":1767323045,"cached":0.833},{"worker":"w1","built":1767319445,"cached":1.000}]},
{"key":"other","warm":[{"worker":"w1","built":1767323045,"cached":0.000}]}
],"workers":{"w1":"tcp://10.0.0.11:1234","w2":"unix:///run/w2.sock"},"drained":["w3"]}
}}
)");
    CHECK(nlohmann::json::accept(encoded({})));
}

TEST_CASE("what was written is read again, in its order")
{
    const auto read = decode(encoded(sample));
    REQUIRE(read.has_value());
    REQUIRE(read->size() == 2);
    CHECK(read->at(0).name == "arm");
    CHECK(read->at(0).keys.empty());
    const auto& pool = read->at(1);
    CHECK(pool.addresses == sample[1].addresses);
    CHECK(pool.drained == sample[1].drained);
    REQUIRE(pool.keys.size() == 2);
    CHECK(pool.keys[0].key == "example.test/team/app");
    REQUIRE(pool.keys[0].workers.size() == 2);
    CHECK(pool.keys[0].workers[0].worker == "w2");
    CHECK(pool.keys[0].workers[0].built == start);
    CHECK(pool.keys[0].workers[0].cached_share == Approx(0.833));
    CHECK(pool.keys[0].workers[1].worker == "w1");
    CHECK(pool.keys[0].workers[1].built == start - 1h);
}

TEST_CASE(
    "keys with quotes, line ends and control characters come back as they were; bytes that are no UTF-8 do no harm")
{
    const std::string odd = "a\"b\\c\nd\x01 größe";
    const auto read = decode(encoded({{"p", {{odd, {{"w", start, 0}}}, {"x\xffy", {{"w", start, 0}}}}, {}, {}}}));
    REQUIRE(read.has_value());
    CHECK(read->at(0).keys[0].key == odd);
    CHECK(read->at(0).keys[1].key == "x\xef\xbf\xbdy");
}

TEST_CASE("a file of another version is told apart from one that is damaged")
{
    CHECK(why_not(R"({"buildkit_lb_state":2,"pools":[]})") ==
          "has version 2 of the format, and this program reads version 1");
    CHECK_THAT(why_not(R"({"buildkit_lb_state":"1"})"), Catch::StartsWith("is damaged: "));
}

TEST_CASE("names that a later program has added are ignored")
{
    CHECK(why_not(R"({"buildkit_lb_state":1,"more":[1],"pools":{"p":{"keys":[{"key":"k","colour":"red","warm":
        [{"worker":"w","built":1,"cached":0.5,"steps":7}]}],"workers":{},"drained":[],"paused":true}}})") == "read");
}

TEST_CASE("a file that was cut off anywhere is damaged")
{
    const std::string whole = encoded(sample);
    for (std::size_t size = 0; size + 1 < whole.size(); ++size) {
        INFO(size);
        CHECK_THAT(why_not(std::string_view{whole}.substr(0, size)), Catch::StartsWith("is damaged: "));
    }
}

TEST_CASE("values of a wrong kind are damage, numbers beyond the clock are not trusted")
{
    const auto with = [](std::string_view built, std::string_view cached = "0.5") {
        return R"({"buildkit_lb_state":1,"pools":{"p":{"workers":{},"drained":[],"keys":[{"key":"k","warm":[{"worker":"w",)"
               R"("built":)" +
               std::string{built} + R"(,"cached":)" + std::string{cached} + "}]}]}}}";
    };
    const auto time = [&](std::string_view built) {
        return decode(with(built)).value().at(0).keys.at(0).workers.at(0).built.time_since_epoch();
    };
    CHECK(time("5") == 5s);
    CHECK(time("-5") == 0s);
    CHECK(time("18446744073709551615") == 4'102'444'800s);
    for (const char* bad : {"1.5", "1e300", "\"1\"", "null", "[]"}) {
        INFO(bad);
        CHECK_THAT(why_not(with(bad)), Catch::StartsWith("is damaged: "));
    }
    CHECK_THAT(why_not(with("1", "\"x\"")), Catch::StartsWith("is damaged: "));
    for (const char* bad : {"", "null", "[]", "17", "\"text\"", "{}", "\0", R"({"buildkit_lb_state":1})",
                            R"({"buildkit_lb_state":1,"pools":7})", R"({"buildkit_lb_state":1,"pools":{"p":[]}})",
                            R"({"buildkit_lb_state":1,"pools":{"p":{"keys":[7]}}})"}) {
        INFO(bad);
        CHECK_THAT(why_not(bad), Catch::StartsWith("is damaged: "));
    }
}
