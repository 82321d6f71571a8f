#include <catch2/catch.hpp>

#include "config/load.hpp"
#include "texts.hpp"

namespace buildkit_lb::config {
namespace {

using testing::minimal;
using testing::with_line;

std::string problems(const std::string& text)
{
    std::string out;
    for (const problem& p : parse(text, "f").problems) {
        out += (out.empty() ? "" : "\n") + std::to_string(p.line) + " " + p.path + ": " + p.message;
    }
    return out;
}

std::string in_listener(std::string_view line)
{
    return problems(with_line(minimal(), 5, "    pool: default\n    " + std::string{line}));
}

std::string in_pool(std::string_view line)
{
    return problems(with_line(minimal(), 8, "    policy: round-robin\n    " + std::string{line}));
}

TEST_CASE("what sections of a listener and of a pool hold is checked")
{
    const auto complains_of = [](const std::string& found, const std::string& part) {
        return found.find(part) != std::string::npos;
    };
    CHECK(complains_of(in_listener("tls: {cert: a}"), "tls.key: is missing"));
    CHECK(complains_of(in_listener("tls: {cert: '', key: b}"), "tls.cert: '' is not a path"));
    CHECK(complains_of(in_pool("discovery: {dns: unix:///a}"), "dns: 'unix:///a' has no name to look up"));
    CHECK(complains_of(in_pool("outlier_detection: {max_ejected: 50}"), "'50' has no unit: write 50%"));
    CHECK(complains_of(in_pool("outlier_detection: {max_ejected: 101%}"), "'101%' is out of range"));
    CHECK(complains_of(in_pool("affinity: {keys: [shared_key]}"), "keys[0]: 'shared_key'"));
    CHECK(complains_of(in_pool("affinity: {keys: context}"), "keys: found the value 'context'"));
    CHECK(complains_of(in_pool("affinity: {keys: ['build-arg:']}"), "keys[0]: 'build-arg:'"));
    CHECK(complains_of(in_pool("affinity: {load_factor: 0.5}"), "'0.5' is out of range"));
    CHECK(complains_of(in_pool("affinity: {load_factor: .inf}"), "'.inf' is not a number"));
    CHECK(complains_of(in_pool("default_platform: linux"), "'linux' is not a platform"));
    CHECK(complains_of(in_pool("tls: {server_name: a b}"), "'a b' is not a host"));
    CHECK(complains_of(in_pool("slow_start: 600"), "'600' has no unit"));
    CHECK(complains_of(problems("limits: {stream_per_connection: 5}\n" + minimal()),
                       "(did you mean 'streams_per_connection'?)"));
}

TEST_CASE("the value that means off is accepted")
{
    CHECK(in_listener("proxy_protocol: off") == "");
    CHECK(in_listener("proxy_protocol: 'off'") == "");
    CHECK(in_pool("send_proxy: off") == "");
    CHECK(in_pool("failover: {attempts: 0}") == "");
    CHECK(in_pool("platform_routing: false") == "");
}

TEST_CASE("who may connect is networks or addresses, and a PROXY header comes from known proxies only")
{
    const auto loaded = parse(
        with_line(minimal(), 5,
                  "    pool: default\n    allow_from: [10.0.0.0/8, 'fd00::/8', 192.0.2.7]\n    proxy_protocol: v1v2\n"
                  "    proxy_from: [127.0.0.1]"),
        "f");
    REQUIRE(loaded.problems.empty());
    const listener& l = loaded.value.listeners[0];
    REQUIRE(l.allow_from.size() == 3);
    CHECK(l.allow_from[1].to_string() == "fd00::/8");
    CHECK(l.allow_from[2].contains(*parse_ip("::ffff:192.0.2.7")));
    CHECK(l.proxy_protocol == proxy_protocol::v1v2);
    REQUIRE(l.proxy_from.size() == 1);

    const std::string allowed = "an IP address, or a network such as 10.0.0.0/8 or fd00::/8";
    CHECK(in_listener("allow_from: [10.0.0.1/8]") ==
          "6 listeners[0].allow_from[0]: '10.0.0.1/8' has bits behind its prefix: write 10.0.0.0/8; allowed: " +
              allowed);
    CHECK(in_listener("allow_from: [runners.example]") ==
          "6 listeners[0].allow_from[0]: 'runners.example' is not an IP address or network; allowed: " + allowed);
    CHECK(in_listener("allow_from: []") ==
          "6 listeners[0].allow_from: found an empty list; allowed: a list of values, at least one");
    CHECK(in_listener("proxy_protocol: v1v2") ==
          "2 listeners[0].proxy_from: is missing: whoever may send a PROXY header may claim any address; allowed: a "
          "list of " +
              allowed);
    CHECK(in_listener("proxy_from: [10.0.0.0/8]") == "6 listeners[0].proxy_from: needs proxy_protocol: v1v2");
    // A unix socket has no addresses: its file says who may connect.
    CHECK(problems(with_line(with_line(minimal(), 3, "    address: unix:///run/a.sock"), 5,
                             "    pool: default\n    proxy_protocol: v1v2")) == "");
}

TEST_CASE("the bound of memory is derived, off or a size")
{
    const auto bound = [](const std::string& text) {
        return parse("limits: {memory: " + text + "}\n" + minimal(), "f").value.limits.memory;
    };
    CHECK_FALSE(parse(minimal(), "f").value.limits.memory);
    CHECK_FALSE(bound("auto"));
    CHECK(bound("off") == byte_count{0});
    CHECK(bound("2GiB") == byte_count{2ULL << 30U});
    CHECK(problems("limits: {memory: 80%}\n" + minimal()).find("allowed: auto, off or a size from 16MiB to 1024GiB") !=
          std::string::npos);
    CHECK(problems("limits: {memory: 1MiB}\n" + minimal()).find("'1MiB' is out of range") != std::string::npos);
}

TEST_CASE("the user to become is a name or a number, maybe with a group")
{
    const auto user = [](const std::string& text) { return parse("user: " + text + "\n" + minimal(), "f"); };
    for (const std::string& good : {"lb", "buildkit-lb:ci", "65534:65534"}) {
        CHECK(user(good).problems.empty());
        CHECK(user(good).value.user == good);
    }
    for (const std::string& bad : {"''", "':a'", "'a:'", "a b", "'a:b:c'", "-1", "/bin/sh"}) {
        INFO(bad);
        CHECK_FALSE(user(bad).problems.empty());
    }
}

TEST_CASE("a PROXY header can be sent for clients' own connections only, and by no probe that speaks HTTP/2")
{
    CHECK(in_pool("send_proxy: v1\n    health_check: {type: tcp}") == "");
    CHECK(in_pool("send_proxy: v2\n    health_check: {type: off}") == "");
    CHECK(in_pool("send_proxy: v2") ==
          "9 pools[0].send_proxy: needs health_check.type tcp or off: the other checks send no PROXY header");
    const std::string buildkit = with_line(minimal(), 4, "    protocol: buildkit");
    CHECK(
        problems(with_line(buildkit, 8, "    send_proxy: v1\n    health_check: {type: tcp}")) ==
        "8 pools[0].send_proxy: needs protocol tcp: with buildkit, as listeners[0] has it, connections to workers are "
        "the balancer's own");
}

}  // namespace
}  // namespace buildkit_lb::config
