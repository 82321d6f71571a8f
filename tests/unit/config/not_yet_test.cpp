#include "config/not_yet.hpp"

#include <algorithm>
#include <catch2/catch.hpp>

#include "config/load.hpp"
#include "config/reference.hpp"
#include "texts.hpp"

namespace buildkit_lb::config {
namespace {

using testing::minimal;
using testing::with_line;

std::string refusals(const std::string& text)
{
    std::string out;
    for (const problem& p : parse(text, "f").problems) {
        out += (out.empty() ? "" : "\n") + std::to_string(p.line) + " " + p.path + ": " + p.message;
    }
    return out;
}

std::string in_listener(std::string_view line)
{
    return refusals(with_line(minimal(), 5, "    pool: default\n    " + std::string{line}));
}

std::string in_pool(std::string_view line)
{
    return refusals(with_line(minimal(), 8, "    policy: round-robin\n    " + std::string{line}));
}

TEST_CASE("what is not supported yet is refused, never ignored")
{
    CHECK(in_listener("proxy_protocol: v1v2") ==
          "6 listeners[0].proxy_protocol: 'v1v2' is not supported yet; allowed: off");
}

TEST_CASE("what is not supported yet is checked all the same")
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
    CHECK(complains_of(refusals("limits: {stream_per_connection: 5}\n" + minimal()),
                       "(did you mean 'streams_per_connection'?)"));
}

TEST_CASE("the value that means off is accepted")
{
    CHECK(in_listener("proxy_protocol: off") == "");
    CHECK(in_listener("proxy_protocol: 'off'") == "");
    CHECK(in_pool("failover: {attempts: 0}") == "");
    CHECK(in_pool("platform_routing: false") == "");
}

TEST_CASE("every line of the table names a key of the schema")
{
    const std::vector<key_info> keys = reference();
    for (const missing_feature& m : missing_features()) {
        INFO(m.key);
        CHECK(std::any_of(keys.begin(), keys.end(), [&](const key_info& k) { return k.key == m.key; }));
    }
}

TEST_CASE("a missing feature accepts whole values only")
{
    constexpr missing_feature two{"k", "tcp|off"};
    CHECK(two.accepts("tcp"));
    CHECK(two.accepts("off"));
    CHECK_FALSE(two.accepts("tc"));
    CHECK_FALSE(two.accepts("tcp|off"));
    CHECK_FALSE(two.accepts(""));
    CHECK_FALSE(missing_feature{"k", ""}.accepts(""));
}

}  // namespace
}  // namespace buildkit_lb::config
