#include <catch2/catch.hpp>
#include <ostream>

#include "config/load.hpp"
#include "texts.hpp"

namespace buildkit_lb::config {
namespace {

using testing::minimal;
using testing::with_line;

std::vector<std::string> problems_of(const std::string& text)
{
    std::vector<std::string> out;
    for (const problem& p : parse(text, "f").problems) {
        out.push_back(p.to_string());
    }
    return out;
}

/// A change of one line of minimal() and the one problem it makes.
struct mistake {
    int line;
    std::string_view text;
    std::string_view problem;
};

TEST_CASE("one mistake is one problem, with its line, its path, what was found and what is allowed")
{
    const mistake cases[] = {
        // listeners
        {1, "listener:", "f:1: listener: is not a known key (did you mean 'listeners'?)"},
        {2, "  - name: my builds",
         "f:2: listeners[0].name: 'my builds' is not a name; allowed: 1 to 100 letters, digits, '-', '_', '.' or ':'"},
        {2,
         "  - name:", "f:2: listeners[0].name: found nothing; allowed: 1 to 100 letters, digits, '-', '_', '.' or ':'"},
        {2, "  - name: ~",
         "f:2: listeners[0].name: found nothing; allowed: 1 to 100 letters, digits, '-', '_', '.' or ':'"},
        {2, "  - name: [builds]",
         "f:2: listeners[0].name: found a list; allowed: 1 to 100 letters, digits, '-', '_', '.' or ':'"},
        {2, "  - nam: builds", "f:2: listeners[0].nam: is not a known key (did you mean 'name'?)"},
        {3, "    address: 127.0.0.1:1234",
         "f:3: listeners[0].address: '127.0.0.1:1234': an address is written tcp://HOST:PORT or unix:///PATH; allowed: "
         "tcp://HOST:PORT or unix:///PATH"},
        {3, "    address: tcp://127.0.0.1:65536",
         "f:3: listeners[0].address: 'tcp://127.0.0.1:65536': '65536' is not a port: a number from 0 to 65535; "
         "allowed: "
         "tcp://HOST:PORT or unix:///PATH"},
        {3, "    address: tcp://build host:1",
         "f:3: listeners[0].address: 'tcp://build host:1': 'build host' is not a host name or an IP address; allowed: "
         "tcp://HOST:PORT or unix:///PATH"},
        {3, "    address: tcp://127.0.0.1:9090",
         "f:3: listeners[0].address: 'tcp://127.0.0.1:9090' is already taken by admin.address, 'tcp://127.0.0.1:9090'"},
        {3, "    address: tcp://0.0.0.0:9090",
         "f:3: listeners[0].address: 'tcp://0.0.0.0:9090' is already taken by admin.address, 'tcp://127.0.0.1:9090'"},
        {4, "    protocol: http",
         "f:4: listeners[0].protocol: 'http' is not one of the words known here; allowed: buildkit or tcp"},
        {4, "    protocol: TCP",
         "f:4: listeners[0].protocol: 'TCP' is not one of the words known here; allowed: buildkit or tcp"},
        {4, "    protocol: tcp\n    protocol: tcp", "f:5: listeners[0].protocol: is already set on line 4"},
        {5, "    pool: defualt",
         "f:5: listeners[0].pool: there is no pool 'defualt' (did you mean 'default'?); allowed: default"},
        {5, "    pool: other", "f:5: listeners[0].pool: there is no pool 'other'; allowed: default"},
        {5, "    pool: default\n    idle_timeout: 30",
         "f:6: listeners[0].idle_timeout: '30' has no unit: write, for example, 30s; allowed: a duration from 100ms to "
         "720h (units ms, s, m, h)"},
        {5, "    pool: default\n    idle_timeout: 721h",
         "f:6: listeners[0].idle_timeout: '721h' is out of range; allowed: a duration from 100ms to 720h (units ms, s, "
         "m, h)"},
        {5, "    pool: default\n    max_connections: 0",
         "f:6: listeners[0].max_connections: '0' is out of range; allowed: a whole number from 1 to 1000000"},
        {5, "    pool: default\n    max_connections: -1",
         "f:6: listeners[0].max_connections: '-1' is out of range; allowed: a whole number from 1 to 1000000"},
        {5, "    pool: default\n    max_connections: 1e3",
         "f:6: listeners[0].max_connections: '1e3' is not a whole number; allowed: a whole number from 1 to 1000000"},
        {5, "    pool: default\n    max_connections: \"10\"",
         "f:6: listeners[0].max_connections: '10' is text, because of its quotes: write it without; allowed: a whole "
         "number from 1 to 1000000"},
        {5, "    pool: default\n    proxy_protocol: false",
         "f:6: listeners[0].proxy_protocol: 'false' is not one of the words known here (did you mean 'off'? It is a "
         "word, not a boolean); allowed: off or v1v2"},
        {5, "    pool: default\n    tls: true", "f:6: listeners[0].tls: found the value 'true'; allowed: a map"},
        // pools
        {7, "  - name: Default\n  - name: default",
         "f:7: pools[0].workers: is missing; allowed: a list of maps, or discovery in its place"},
        {7, "  - default\n  - name: default", "f:7: pools[0]: found the value 'default'; allowed: a map"},
        {8, "    policy: round_robin",
         "f:8: pools[0].policy: 'round_robin' is not one of the words known here (did you mean 'round-robin'?); "
         "allowed: round-robin, least-active-builds or cache-affinity"},
        {8, "    policy: round-robin\n    health_check: off",
         "f:9: pools[0].health_check: found the value 'off'; allowed: a map"},
        {8, "    policy: round-robin\n    health_check: {interval: 5 s}",
         "f:9: pools[0].health_check.interval: '5 s' is not a duration of whole numbers; allowed: a duration from "
         "100ms "
         "to 1h (units ms, s, m, h)"},
        {8, "    policy: round-robin\n    health_check: {intervall: 5s}",
         "f:9: pools[0].health_check.intervall: is not a known key (did you mean 'interval'?)"},
        {8, "    policy: round-robin\n    health_check: {type: http}",
         "f:9: pools[0].health_check.type: 'http' is not one of the words known here; allowed: buildkit, grpc, tcp or "
         "off"},
        {8, "    policy: round-robin\n    colour: red\n",
         "f:9: pools[0].colour: is not a known key; allowed: name, policy, connect_timeout, workers, discovery, "
         "health_check, outlier_detection, slow_start, affinity, queue, failover, platform_routing, default_platform, "
         "send_proxy or tls"},
        {8, "    policy: round-robin\n    <<: {slow_start: 0s}",
         "f:9: pools[0].<<: is not a known key: merge keys are not supported"},
        // workers
        {10, "      []", "f:9: pools[0].workers: found an empty list; allowed: a list of maps, at least one"},
        {10, "      {name: w1, address: tcp://10.0.0.1:1234}",
         "f:9: pools[0].workers: found a map; allowed: a list of maps"},
        {10, "", "f:9: pools[0].workers: found nothing; allowed: a list of maps"},
        {10, "      - w1", "f:10: pools[0].workers[0]: found the value 'w1'; allowed: a map"},
        {10, "      -", "f:9: pools[0].workers[0]: found nothing; allowed: a map"},
        {10, "      - {name: w1}",
         "f:10: pools[0].workers[0].address: is missing; allowed: tcp://HOST:PORT or unix:///PATH"},
        {10, "      - {name: w1, address: tcp://10.0.0.1:0}",
         "f:10: pools[0].workers[0].address: 'tcp://10.0.0.1:0': nothing can be reached on port 0; allowed: "
         "tcp://HOST:PORT or unix:///PATH"},
        {10, "      - {name: w1, address: tcp://a:1}\n      - {name: w1, address: tcp://b:1}",
         "f:11: pools[0].workers[1].name: 'w1' is already the name of pools[0].workers[0] (line 10)"},
        {10, "      - {name: w1, address: tcp://a:1, weight: 1001}",
         "f:10: pools[0].workers[0].weight: '1001' is out of range; allowed: a whole number from 1 to 1000"},
        {10, "      - {name: w1, address: tcp://a:1, weight: 1, [a]: 1}",
         "f:10: pools[0].workers[0]: found a list as a key; allowed: words"},
        // the rest
        {1,
         "threads: 0\nlisteners:", "f:1: threads: '0' is out of range; allowed: auto or a whole number from 1 to 256"},
        {1, "progress: yes\nlisteners:",
         "f:1: progress: 'yes' is a word in YAML 1.2, not true or false; allowed: true or false"},
        {1, "progress: 'true'\nlisteners:",
         "f:1: progress: 'true' is text, because of its quotes: write it without; allowed: true or false"},
        {1, "log: {level: verbose}\nlisteners:",
         "f:1: log.level: 'verbose' is not one of the words known here; allowed: debug, info, warn or error"},
        {1, "admin:\nlisteners:", "f:1: admin: found nothing; allowed: a map"},
        {1, "admin: {address: tcp://0.0.0.0:9090}\nlisteners:",
         "f:1: admin.address: 'tcp://0.0.0.0:9090' can be reached from other machines: that requires "
         "admin.token_file; allowed without: an address of this machine only, such as tcp://127.0.0.1:9090 or "
         "unix:///PATH"},
        {1, "admin: {address: unix:relative}\nlisteners:",
         "f:1: admin.address: 'unix:relative': an address is written tcp://HOST:PORT or unix:///PATH; allowed: "
         "tcp://HOST:PORT or unix:///PATH"},
        {1, "shutdown: {grace: forever}\nlisteners:",
         "f:1: shutdown.grace: 'forever' is not a duration; allowed: a duration from 0s to 168h (units ms, s, m, h)"},
    };
    for (const mistake& m : cases) {
        const std::string text = with_line(minimal(), m.line, m.text);
        std::string found;
        for (const std::string& p : problems_of(text)) {
            found += found.empty() ? p : "\n" + p;
        }
        INFO(text);
        CHECK(found == m.problem);
    }
}

TEST_CASE("twelve different mistakes in one file all come back, in order of line")
{
    const std::string text = R"(thraeds: 4
listeners:
  - name: a
    address: tcp://0.0.0.0:1234
    protocol: tcp
    pool: defualt
    idle_timeout: 3600
  - name: a
    address: tcp://127.0.0.1:1234
    protocol: buildkitd
    pool: default
    max_connections: many
pools:
  - name: default
    policy: fastest
    policy: round-robin
    workers:
      - {name: w1, address: tcp://10.0.0.1, weight: 0}
    health_check: [tcp]
  - name: spare
    policy: round-robin
    workers: []
admin: {address: tcp://0.0.0.0:9090}
progress: maybe
)";
    const std::vector<std::pair<int, std::string>> expected = {
        {1, "thraeds"},
        {6, "listeners[0].pool"},
        {7, "listeners[0].idle_timeout"},
        {8, "listeners[1].name"},
        {9, "listeners[1].address"},
        {10, "listeners[1].protocol"},
        {12, "listeners[1].max_connections"},
        {15, "pools[0].policy"},
        {16, "pools[0].policy"},
        {18, "pools[0].workers[0].address"},
        {18, "pools[0].workers[0].weight"},
        {19, "pools[0].health_check"},
        {22, "pools[1].workers"},
        {23, "admin.address"},
        {24, "progress"},
    };
    std::vector<std::pair<int, std::string>> found;
    for (const problem& p : parse(text, "f").problems) {
        found.emplace_back(p.line, p.path);
    }
    CHECK(found == expected);
}

TEST_CASE("a file without listeners or pools says both")
{
    CHECK(problems_of("threads: 2\n") == std::vector<std::string>{"f:1: listeners: is missing; allowed: a list of maps",
                                                                  "f:1: pools: is missing; allowed: a list of maps"});
    CHECK(problems_of("listeners: []\npools: []\n") ==
          std::vector<std::string>{"f:1: listeners: found an empty list; allowed: a list of maps, at least one",
                                   "f:2: pools: found an empty list; allowed: a list of maps, at least one"});
}

TEST_CASE("a text that is no map is one problem")
{
    const std::vector<std::string> nothing{"f:1: found nothing; allowed: a map with at least listeners and pools"};
    CHECK(problems_of("") == nothing);
    CHECK(problems_of("# only a comment\n") == nothing);
    CHECK(problems_of("---\n") == nothing);
    CHECK(problems_of("- a\n") == std::vector<std::string>{"f:1: found a list; allowed: a map"});
    CHECK(problems_of("hello") == std::vector<std::string>{"f:1: found the value 'hello'; allowed: a map"});
    // YAML::LoadAll would never return from these.
    for (const char* stray : {"]\n", "}\n", "...\n]\n", "- a\n"}) {
        INFO(stray);
        CHECK(problems_of(minimal() + stray).size() == 1);
    }
    CHECK(problems_of(minimal() + "---\nthreads: 1\n") ==
          std::vector<std::string>{"f:11: found more after the end of the document; allowed: one document"});
}

TEST_CASE("bad YAML is one problem with its line")
{
    const auto only = [](const std::string& text) {
        const auto problems = problems_of(text);
        return problems.size() == 1 ? problems[0] : std::to_string(problems.size()) + " problems";
    };
    CHECK_THAT(only("threads: 1\nlisteners: [a\n"), Catch::StartsWith("f:3: is not valid YAML: "));
    CHECK_THAT(only("threads: 1\n\tprogress: true\n"),
               Catch::StartsWith("f:2: is not valid YAML: ") && Catch::EndsWith("(indent with spaces, not tabs)"));
    CHECK_THAT(only("threads: 1\nadmin: *nowhere\n"), Catch::StartsWith("f:2: is not valid YAML: "));
    CHECK_THAT(only("a: " + std::string(2000, '[')), Catch::StartsWith("f:1: is not valid YAML: "));
}

TEST_CASE("two listeners can't have addresses that collide, and may have those that don't")
{
    const auto second = [](std::string_view first, std::string_view address) {
        std::string text = with_line(minimal(), 3, "    address: " + std::string{first});
        text = with_line(text, 5,
                         "    pool: default\n  - {name: b, protocol: tcp, pool: default, address: \"" +
                             std::string{address} + "\"}");
        const auto problems = problems_of(text);
        return problems.empty() ? std::string{} : problems[0];
    };
    CHECK(second("tcp://127.0.0.1:1234", "tcp://127.0.0.1:1234") ==
          "f:6: listeners[1].address: 'tcp://127.0.0.1:1234' is already taken by listeners[0].address (line 3)");
    CHECK_FALSE(second("tcp://127.0.0.1:1234", "tcp://0.0.0.0:1234").empty());
    CHECK_FALSE(second("'tcp://[::]:1234'", "tcp://[::1]:1234").empty());
    CHECK_FALSE(second("unix:///run/a", "unix:///run/a").empty());
    CHECK(second("tcp://127.0.0.1:1234", "tcp://127.0.0.2:1234").empty());
    CHECK(second("tcp://127.0.0.1:1234", "tcp://127.0.0.1:1235").empty());
    CHECK(second("tcp://0.0.0.0:1234", "tcp://[::1]:1234").empty());
    CHECK(second("unix:///run/a", "unix:///run/b").empty());
    // Port 0 is another port each time.
    CHECK(second("tcp://127.0.0.1:0", "tcp://127.0.0.1:0").empty());
}

TEST_CASE("what a file holds can't break the lines of the report")
{
    const auto problems =
        problems_of(minimal() + "\"a\\nb\": 1\nprogress: \"x\\ny\"\nadmin: {address: \"tcp://h:1\\n2\"}\n");
    REQUIRE(problems.size() == 3);
    for (const std::string& p : problems) {
        CHECK(p.find('\n') == std::string::npos);
    }
}

}  // namespace
}  // namespace buildkit_lb::config
