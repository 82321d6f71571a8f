#include "ctl/commands.hpp"

#include <catch2/catch.hpp>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <vector>

#include "ctl/admin_address.hpp"
#include "ctl/status_table.hpp"

using namespace buildkit_lb;
using namespace buildkit_lb::ctl;
using namespace std::chrono_literals;

namespace {

/// An admin server that says what it is told to, and what the commands made of it.
struct stage {
    std::map<std::string, admin_answer> answers;  // by method and target
    std::vector<std::string> asked;
    std::vector<duration> timeouts;
    std::ostringstream out;
    std::ostringstream err;

    admin_server server()
    {
        return [this](const admin_call& call) -> checked<admin_answer> {
            asked.push_back(call.method + " " + call.target);
            timeouts.push_back(call.timeout);
            const auto found = answers.find(asked.back());
            if (found == answers.end()) {
                return complaint{"can't reach the admin server"};
            }
            return found->second;
        };
    }
    console to() { return {out, err}; }
};

constexpr const char* two_left =
    R"({"worker": "w1", "draining": true, "drained": false, "active_builds": 2, "internal_builds": 1})";
constexpr const char* none_left =
    R"({"worker": "w1", "draining": true, "drained": true, "active_builds": 0, "internal_builds": 0})";

}  // namespace

TEST_CASE("drain without a wait says what is still on the worker")
{
    stage s;
    s.answers["POST /api/v1/workers/w1/drain"] = {200, two_left};
    CHECK(drain(s.server(), {.worker = "w1", .pool = {}}, s.to()) == ok);
    CHECK(s.out.str() == "w1 is draining; 2 builds and 1 internal build are on it\n");
    CHECK(s.asked.size() == 1);
    CHECK(s.err.str().empty());
}

TEST_CASE("drain with a wait tells that it began, waits on the server, and tells that it is done")
{
    stage s;
    s.answers["POST /api/v1/workers/w1/drain?pool=arm"] = {200, two_left};
    s.answers["POST /api/v1/workers/w1/drain?pool=arm&wait=1&timeout=60000ms"] = {200, none_left};
    CHECK(drain(s.server(), {.worker = "w1", .pool = "arm", .wait = true, .timeout = 1min}, s.to()) == ok);
    CHECK(s.out.str() == "w1 is draining; 2 builds and 1 internal build are on it\nw1 is drained\n");
    REQUIRE(s.timeouts.size() == 2);
    CHECK(s.timeouts[1] > 1min);  // the server's own answer comes first
}

TEST_CASE("a wait that ran out, one that was undone and one without an answer have their exit codes")
{
    const auto after = [](std::optional<admin_answer> answer, std::string& err) {
        stage s;
        s.answers["POST /api/v1/workers/w1/drain"] = {200, none_left};
        if (answer) {
            s.answers["POST /api/v1/workers/w1/drain?wait=1&timeout=7200000ms"] = *answer;
        }
        const int code = drain(s.server(), {.worker = "w1", .pool = {}, .wait = true}, s.to());
        CHECK(s.out.str() == "w1 is draining; no build is on it\n");
        err = s.err.str();
        return code;
    };
    std::string err;
    CHECK(after(admin_answer{504, R"({"error": "2 builds had not ended within the timeout"})"}, err) == timed_out);
    CHECK(err == "buildkit-lb: 2 builds had not ended within the timeout\n");
    CHECK(after(admin_answer{409, R"({"error": "undrained"})"}, err) == failed);
    CHECK(after(admin_answer{504, "<html>a proxy between</html>"}, err) == failed);
    CHECK(after(std::nullopt, err) == failed);
    CHECK(err == "buildkit-lb: can't reach the admin server\n");
}

TEST_CASE("a worker's name is encoded, and what the server refuses is passed on")
{
    stage s;
    s.answers["POST /api/v1/workers/a%2Fb%20%25/undrain"] = {404, R"({"error": "there is no worker\u001b[2J"})"};
    CHECK(undrain(s.server(), "a/b %", "", s.to()) == failed);
    CHECK(s.err.str() == "buildkit-lb: there is no worker [2J\n");
    s.answers["POST /api/v1/workers/w1/undrain?pool=p"] = {200, R"({"worker": "w1"})"};
    CHECK(undrain(s.server(), "w1", "p", s.to()) == ok);
    CHECK(s.out.str() == "w1 takes builds again\n");
    s.answers["POST /api/v1/workers/w2/undrain"] = {401, R"({"error": "needs the token"})"};
    CHECK(undrain(s.server(), "w2", "", s.to()) == failed);
    CHECK_THAT(s.err.str(), Catch::Contains("needs the token; give it with --token-file or in BUILDKIT_LB_TOKEN\n"));
}

TEST_CASE("status is a table for people, or one document")
{
    stage s;
    s.answers["GET /api/v1/pools"] = {200, R"({"pools": [{"name": "default", "policy": "cache-affinity", "workers": 2,
        "up": 1, "draining": 1, "active_builds": 3, "queue_length": 12}]})"};
    s.answers["GET /api/v1/workers"] = {200, R"({"workers": [
        {"pool": "default", "name": "w1", "address": "tcp://10.0.0.11:1234", "max_builds": 8, "health": "up",
         "draining": true, "active_builds": 3, "internal_builds": 1, "last_error": "", "version": "v0.34.2"},
        {"pool": "default", "name": "longer", "address": "unix:///run/w.sock", "max_builds": 0, "health": "down",
         "draining": false, "active_builds": 0, "internal_builds": 0, "last_error": "connection\nrefused"}]})"};
    CHECK(status(s.server(), false, s.to()) == ok);
    CHECK(s.out.str() ==
          "POOL     POLICY          WORKERS  UP  DRAINING  BUILDS  QUEUED\n"
          "default  cache-affinity  2        1   1         3       12\n"
          "\n"
          "POOL     WORKER  HEALTH  DRAINING  BUILDS  INTERNAL  VERSION  ADDRESS               LAST ERROR\n"
          "default  w1      up      yes       3/8     1         v0.34.2  tcp://10.0.0.11:1234  -\n"
          "default  longer  down    no        0       0         -        unix:///run/w.sock    connection refused\n");
    s.out.str("");
    CHECK(status(s.server(), true, s.to()) == ok);
    const auto all = nlohmann::json::parse(s.out.str());
    CHECK(all.at("pools").at(0).at("queue_length") == 12);
    CHECK(all.at("workers").at(1).at("last_error") == "connection\nrefused");
}

TEST_CASE("status tells which workers are going away, unless they are down already")
{
    stage s;
    s.answers["GET /api/v1/pools"] = {200, R"({"pools": []})"};
    s.answers["GET /api/v1/workers"] = {200, R"({"workers": [
        {"pool": "p", "name": "w1", "address": "tcp://w1:1234", "health": "up", "going_away": true},
        {"pool": "p", "name": "w2", "address": "tcp://w2:1234", "health": "down", "going_away": true}]})"};
    CHECK(status(s.server(), false, s.to()) == ok);
    CHECK_THAT(s.out.str(), Catch::Contains("p     w1      going away  no "));
    CHECK_THAT(s.out.str(), Catch::Contains("p     w2      down        no "));
}

TEST_CASE("status says that a worker is ejected, and why, unless it is down")
{
    stage s;
    s.answers["GET /api/v1/pools"] = {200, R"({"pools": []})"};
    s.answers["GET /api/v1/workers"] = {200, R"({"workers": [
        {"pool": "p", "name": "w1", "address": "a", "health": "up", "ejected": true, "ejected_for": "reset a build"},
        {"pool": "p", "name": "w2", "address": "b", "health": "down", "ejected": true, "ejected_for": "reset a build",
         "last_error": "refused"}]})"};
    CHECK(status(s.server(), false, s.to()) == ok);
    CHECK_THAT(s.out.str(), Catch::Contains("w1      ejected") && Catch::Contains("reset a build") &&
                                Catch::Contains("w2      down") && Catch::Contains("refused"));
}

TEST_CASE("status of what is no admin server, or of none, fails with the reason")
{
    stage s;
    CHECK(status(s.server(), false, s.to()) == failed);
    CHECK(s.err.str() == "buildkit-lb: can't reach the admin server\n");
    s.answers["GET /api/v1/pools"] = {200, "hello"};
    CHECK(status(s.server(), false, s.to()) == failed);
    CHECK_THAT(s.err.str(), Catch::Contains("is the address right?"));
    s.answers["GET /api/v1/pools"] = {200, R"({"pools": [{"name": 7}]})"};
    s.answers["GET /api/v1/workers"] = {200, R"({"workers": []})"};
    CHECK(status(s.server(), false, s.to()) == failed);
    CHECK_THAT(s.err.str(), Catch::Contains("of another version"));
    CHECK(s.out.str().empty());
}

TEST_CASE("an admin server's address is a URL, and one that listens everywhere is asked on loopback")
{
    const auto read = [](std::string_view text) {
        const auto parsed = parse_admin_address(text);
        return parsed ? parsed->to_string() : "refused";
    };
    CHECK(read("tcp://lb:9090") == "tcp://lb:9090");
    CHECK(read("http://lb:9090") == "tcp://lb:9090");
    CHECK(read("http://lb") == "tcp://lb:80");
    CHECK(read("http://lb:9090/") == "tcp://lb:9090");
    CHECK(read("http://[::1]:9090") == "tcp://[::1]:9090");
    CHECK(read("http://[::1]") == "tcp://[::1]:80");
    CHECK(read("unix:///run/lb.sock") == "unix:///run/lb.sock");
    for (const char* wrong :
         {"lb:9090", "https://lb:9090", "http://lb:9090/api", "http://", "tcp://lb", "http://lb:x", "unix://a", ""}) {
        INFO(wrong);
        CHECK(read(wrong) == "refused");
    }
    CHECK(reached_from_here(*parse_endpoint("tcp://0.0.0.0:9090")).to_string() == "tcp://127.0.0.1:9090");
    CHECK(reached_from_here(*parse_endpoint("tcp://[::]:9090")).to_string() == "tcp://[::1]:9090");
    CHECK(reached_from_here(*parse_endpoint("tcp://10.0.0.1:9090")).to_string() == "tcp://10.0.0.1:9090");
}
