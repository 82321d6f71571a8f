#include <catch2/catch.hpp>

#include "config/load.hpp"

namespace buildkit_lb::config {
namespace {

load_result with(const std::string& of_listener, const std::string& of_worker = {})
{
    return parse("listeners:\n- name: l\n  address: tcp://127.0.0.1:1\n  pool: p\n" + of_listener +
                     "pools:\n- name: p\n  workers: [{name: w, address: tcp://127.0.0.1:2" + of_worker +
                     "}]\n- name: team\n  workers: [{name: w, address: tcp://127.0.0.1:3}]\n",
                 "f");
}

std::string complaints(const load_result& r)
{
    std::string all;
    for (const auto& p : r.problems) {
        all += p.to_string() + "\n";
    }
    return all;
}

}  // namespace

TEST_CASE("labels are a map or a text")
{
    const auto r = with("  require: {disk: ssd, platform: linux/aarch64}\n", ", labels: 'disk=ssd,zone=a'");
    CHECK(complaints(r) == "");
    CHECK(to_text(r.value.listeners[0].require) == "disk=ssd,platform=linux/arm64");
    CHECK(to_text(r.value.pools[0].workers[0].labels) == "disk=ssd,zone=a");
}

TEST_CASE("what is wrong with labels is said with its place")
{
    CHECK(complaints(with("  require: [disk]\n")).find("f:5: listeners[0].require: found a list") == 0);
    CHECK(complaints(with("  require: disk\n")).find("f:5: listeners[0].require: 'disk' is not of the form") == 0);
    CHECK(complaints(with("  require:\n    disk: ssd\n    platform: pdp11\n"))
              .find("f:7: listeners[0].require: 'pdp11' is not a platform") == 0);
    CHECK(complaints(with("  protocol: tcp\n  require: {disk: ssd}\n")).find("needs protocol buildkit") !=
          std::string::npos);
}

TEST_CASE("tls keys that need each other are asked for")
{
    const std::string tls = "  tls: {cert: c, key: k, ";
    CHECK(complaints(
              with(tls + "client_ca: a, client_crl: r, allow_names: ['*.CI.example', 'spiffe://x/y', me@x]}\n")) == "");
    CHECK(complaints(with(tls + "client_crl: r}\n")).find("listeners[0].tls.client_crl: needs client_ca") !=
          std::string::npos);
    CHECK(complaints(with(tls + "allow_names: [a]}\n")).find("listeners[0].tls.allow_names: needs client_ca") !=
          std::string::npos);
    CHECK(complaints(with(tls + "client_ca: a, allow_names: ['*']}\n")).find("allow_names[0]: '*' is not a name") !=
          std::string::npos);
    CHECK(complaints(with(tls + "}\n  protocol: tcp\n  hosts: [{host: a.example, pool: p}]\n")) == "");
    const auto of_pool = [](const std::string& section) {
        return complaints(
            parse("listeners: [{name: l, address: tcp://127.0.0.1:1, pool: p}]\npools:\n- name: p\n"
                  "  workers: [{name: w, address: tcp://127.0.0.1:2}]\n  " +
                      section + "\n",
                  "f"));
    };
    CHECK(of_pool("tls: {}") == "");
    CHECK(of_pool("tls: {cert: c}").find("pools[0].tls.key: is missing") != std::string::npos);
    CHECK(of_pool("tls: {key: k}").find("pools[0].tls.cert: is missing") != std::string::npos);
    CHECK(of_pool("affinity: {keys: [tls-client]}").find("'tls-client' needs a listener of this pool") !=
          std::string::npos);
}

TEST_CASE("hosts lead to pools that exist, each once")
{
    const auto r = with("  hosts: [{host: Team.Example, pool: team}, {host: '*.b.example', pool: p}]\n");
    CHECK(complaints(r) == "");
    CHECK(r.value.listeners[0].hosts[0].host == "team.example");
    CHECK(complaints(with("  hosts: [{host: a.example, pool: tean}]\n"))
              .find("f:5: listeners[0].hosts[0].pool: there is no pool 'tean' (did you mean 'team'?)") == 0);
    CHECK(complaints(with("  hosts: [{host: a.example, pool: p}, {host: A.example, pool: team}]\n"))
              .find("listeners[0].hosts[1].host: 'a.example' has a pool already, on line 5") != std::string::npos);
    CHECK(complaints(with("  hosts: [{host: localhost, pool: p}]\n")).find("counts as no name") != std::string::npos);
    CHECK(complaints(with("  hosts: [{host: 'a*.example', pool: p}]\n")).find("is not a host name") !=
          std::string::npos);
    CHECK(complaints(with("  hosts: []\n")).find("found an empty list") != std::string::npos);
    CHECK(
        complaints(with("  protocol: tcp\n  hosts: [{host: a.example, pool: p}]\n")).find("needs protocol buildkit") !=
        std::string::npos);
}

}  // namespace buildkit_lb::config
