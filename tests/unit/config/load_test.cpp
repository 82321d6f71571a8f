#include "config/load.hpp"

#include <catch2/catch.hpp>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <unistd.h>

#include "texts.hpp"

namespace buildkit_lb::config {
namespace {

using testing::minimal;

std::string all_of(const load_result& r)
{
    std::string out;
    for (const problem& p : r.problems) {
        out += p.to_string() + "\n";
    }
    return out;
}

/// A file that is gone when the test ends.
class temporary_file {
public:
    explicit temporary_file(const std::string& text)
        : path_{std::filesystem::temp_directory_path() / ("buildkit-lb-config-" + std::to_string(::getpid()) + ".yaml")}
    {
        std::ofstream{path_, std::ios::binary} << text;
    }
    temporary_file(const temporary_file&) = delete;
    temporary_file& operator=(const temporary_file&) = delete;
    ~temporary_file() { std::filesystem::remove(path_); }
    const std::filesystem::path& path() const { return path_; }

private:
    std::filesystem::path path_;
};

TEST_CASE("the smallest file loads and everything it leaves out has its default")
{
    const load_result r = parse(minimal(), "f");
    INFO(all_of(r));
    REQUIRE(r);
    REQUIRE(r.value.listeners.size() == 1);
    const listener& l = r.value.listeners[0];
    CHECK(l.name == "builds");
    CHECK(l.address.to_string() == "tcp://127.0.0.1:1234");
    CHECK(l.protocol == protocol::tcp);
    CHECK(l.pool == "default");
    CHECK(l.idle_timeout == 3600s);
    CHECK(l.max_connections == 10000);
    CHECK(l.proxy_protocol == proxy_protocol::off);
    CHECK_FALSE(l.tls);
    REQUIRE(r.value.pools.size() == 1);
    const pool& p = r.value.pools[0];
    CHECK(p.policy == policy::round_robin);
    CHECK(p.connect_timeout == 10s);
    CHECK(p.health_check.type == probe_type::buildkit);
    CHECK(p.health_check.interval == 5s);
    CHECK(p.health_check.timeout == 2s);
    CHECK(p.health_check.unhealthy_after == 3);
    CHECK(p.health_check.healthy_after == 2);
    REQUIRE(p.workers.size() == 1);
    CHECK(p.workers[0].name == "w1");
    CHECK(p.workers[0].address.to_string() == "tcp://10.0.0.1:1234");
    CHECK(p.workers[0].weight == worker_weight{1});
    CHECK(p.workers[0].max_builds == 0);
    CHECK(r.value.threads == 0);
    CHECK(r.value.admin.address.to_string() == "tcp://127.0.0.1:9090");
    CHECK(r.value.log.level == log::level::info);
    CHECK(r.value.log.format == log::format::text);
    CHECK(r.value.progress);
    CHECK(r.value.shutdown_grace == 3600s);
}

TEST_CASE("every supported key reaches the settings")
{
    const load_result r = parse(R"(
threads: 3
listeners:
  - name: a
    address: unix:///run/a.sock
    protocol: tcp
    pool: p2
    idle_timeout: 1h30m
    max_connections: 7
    proxy_protocol: off
  - {name: b, address: "tcp://[::1]:99", protocol: tcp, pool: p1}
pools:
  - name: p1
    policy: round-robin
    workers: [{name: w1, address: unix:///run/w1.sock}]
  - name: p2
    policy: least-active-builds
    connect_timeout: 250ms
    workers:
      - {name: w1, address: tcp://build-1.example:1234, weight: 5, max_builds: 3}
      - {name: w2, address: "tcp://[2001:db8::1]:1234"}
    health_check: {type: off, interval: 1m, timeout: 500ms, unhealthy_after: 1, healthy_after: 4}
    slow_start: 0ms
    queue: {max_length: 7, timeout: 90s, when_empty: fail}
    failover: {attempts: 0}
    platform_routing: false
admin: {address: unix:///run/admin.sock}
log: {level: debug, format: json}
progress: false
shutdown: {grace: 0s}
)",
                                "f");
    INFO(all_of(r));
    REQUIRE(r);
    CHECK(r.value.threads == 3);
    REQUIRE(r.value.listeners.size() == 2);
    CHECK(r.value.listeners[0].address.path == "/run/a.sock");
    CHECK(r.value.listeners[0].idle_timeout == 90min);
    CHECK(r.value.listeners[0].max_connections == 7);
    CHECK(r.value.listeners[1].address.host == "::1");
    REQUIRE(r.value.pools.size() == 2);
    const pool& p = r.value.pools[1];
    CHECK(p.policy == policy::least_active_builds);
    CHECK(p.connect_timeout == 250ms);
    REQUIRE(p.workers.size() == 2);
    CHECK(p.workers[0].weight == worker_weight{5});
    CHECK(p.workers[0].address.host == "build-1.example");
    CHECK(p.health_check.type == probe_type::off);
    CHECK(p.health_check.interval == 1min);
    CHECK(p.health_check.timeout == 500ms);
    CHECK(p.health_check.unhealthy_after == 1);
    CHECK(p.health_check.healthy_after == 4);
    CHECK(r.value.admin.address.path == "/run/admin.sock");
    CHECK(r.value.log.level == log::level::debug);
    CHECK(r.value.log.format == log::format::json);
    CHECK_FALSE(r.value.progress);
    CHECK(r.value.shutdown_grace == 0s);
}

TEST_CASE("anchors and aliases work")
{
    const load_result r = parse(R"(
listeners:
  - {name: a, address: tcp://127.0.0.1:1, protocol: tcp, pool: p1}
pools:
  - {name: p1, policy: round-robin, workers: &same [{name: w1, address: tcp://h:1}], health_check: &often {interval: 1s}}
  - {name: p2, policy: round-robin, workers: *same, health_check: *often}
)",
                                "f");
    INFO(all_of(r));
    REQUIRE(r);
    CHECK(r.value.pools[1].workers[0].name == "w1");
    CHECK(r.value.pools[1].health_check.interval == 1s);
}

TEST_CASE("a map that contains itself ends in problems, not in a loop")
{
    CHECK_FALSE(
        parse("listeners: &l\n  - *l\npools: &p\n  - &q {name: a, policy: round-robin, workers: *p, tls: *q}\n", "f"));
    CHECK_FALSE(parse("&r\nlisteners: *r\npools: *r\nadmin: *r\n", "f"));
}

TEST_CASE("carriage returns and a byte order mark do no harm")
{
    std::string text = "\xef\xbb\xbf" + minimal();
    for (std::size_t at = text.find('\n'); at != std::string::npos; at = text.find('\n', at + 2)) {
        text.insert(at, "\r");
    }
    const load_result r = parse(text, "f");
    INFO(all_of(r));
    REQUIRE(r);
    CHECK(r.value.listeners[0].pool == "default");
}

TEST_CASE("load reads a file and names it in problems")
{
    const temporary_file good{minimal()};
    CHECK(load(good.path()));

    const temporary_file bad{minimal() + "thraeds: 3\n"};
    const load_result r = load(bad.path());
    REQUIRE(r.problems.size() == 1);
    CHECK(r.problems[0].to_string() ==
          bad.path().string() + ":11: thraeds: is not a known key (did you mean 'threads'?)");
}

TEST_CASE("a file that can't be read is a problem without a line")
{
    const load_result missing = load("/nonexistent/lb.yaml");
    REQUIRE(missing.problems.size() == 1);
    CHECK(missing.problems[0].to_string() == "/nonexistent/lb.yaml: can't be read: No such file or directory");

    const load_result directory = load("/");
    REQUIRE(directory.problems.size() == 1);
    CHECK(directory.problems[0].to_string() == "/: can't be read: Is a directory");

    const load_result endless = load("/dev/zero");
    REQUIRE(endless.problems.size() == 1);
    CHECK(endless.problems[0].to_string() == "/dev/zero: is larger than 4MiB");
}

}  // namespace
}  // namespace buildkit_lb::config
