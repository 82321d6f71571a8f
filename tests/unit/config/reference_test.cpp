#include "config/reference.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <map>
#include <regex>
#include <set>
#include <yaml-cpp/yaml.h>

#include "config/load.hpp"
#include "texts.hpp"

namespace buildkit_lb::config {
namespace {

using testing::read_file;

const std::string example = SOURCE_DIR "/conf/lb.yaml";
const std::string documentation = SOURCE_DIR "/docs/configuration.md";

/// conf/lb.yaml with the keys that are commented out (a # right before the word) written.
std::string with_everything()
{
    static const std::regex commented{"(^|\n)( *)#([a-z_]+:)"};
    return std::regex_replace(read_file(example), commented, "$1$2$3");
}

/// The paths of all keys below `node`, without indices.
void collect(const YAML::Node& node, const std::string& path, std::set<std::string>& into)
{
    if (node.IsMap()) {
        for (const auto& pair : node) {
            const std::string key = (path.empty() ? "" : path + ".") + pair.first.as<std::string>();
            into.insert(key);
            collect(pair.second, key, into);
        }
    } else if (node.IsSequence()) {
        for (const YAML::Node& item : node) {
            collect(item, path + "[]", into);
        }
    }
}

TEST_CASE("conf/lb.yaml loads")
{
    const load_result r = load(example);
    for (const problem& p : r.problems) {
        UNSCOPED_INFO(p.to_string());
    }
    REQUIRE(r);
    CHECK(r.value.listeners.size() == 1);
    CHECK(r.value.pools.size() == 1);
    CHECK(r.value.pools[0].workers.size() == 3);
}

TEST_CASE("conf/lb.yaml shows the defaults")
{
    const std::set<std::string> examples{"listeners[].protocol", "pools[].policy"};
    const YAML::Node all = YAML::Load(with_everything());
    for (const key_info& k : reference()) {
        YAML::Node node;
        node.reset(all);
        std::string rest = k.key;
        while (!rest.empty() && node.IsDefined() && !node.IsNull()) {
            const auto dot = std::min(rest.find('.'), rest.size());
            std::string part = rest.substr(0, dot);
            rest.erase(0, dot + 1);
            const bool list = part.ends_with("[]");
            if (list) {
                part.resize(part.size() - 2);
            }
            node.reset(list ? node[part][0] : node[part]);
        }
        INFO(k.key);
        REQUIRE(node.IsDefined());
        if (!node.IsScalar() || k.default_text == "required" || k.default_text == "none" || examples.contains(k.key)) {
            continue;
        }
        // 3600s and 1h are the same default.
        static const std::map<std::string, std::string> same{{"3600s", "1h"}, {"600s", "10m"}};
        const auto found = same.find(node.Scalar());
        CHECK((found == same.end() ? node.Scalar() : found->second) == k.default_text);
    }
}

TEST_CASE("conf/lb.yaml holds every key of the schema, and what is commented out is right")
{
    std::set<std::string> shown;
    collect(YAML::Load(with_everything()), "", shown);
    std::set<std::string> known;
    for (const key_info& k : reference()) {
        known.insert(k.key);
    }
    CHECK(shown == known);

    // What needs another value of its neighbour.
    const auto all = std::regex_replace(with_everything(), std::regex{"proxy_protocol: off"}, "proxy_protocol: v1v2");
    for (const problem& p : parse(all, "f").problems) {
        UNSCOPED_INFO(p.to_string());
    }
    CHECK(parse(all, "f").problems.empty());
}

TEST_CASE("docs/configuration.md has a row for every key, with what it may hold and its default")
{
    const std::string text = read_file(documentation);
    std::size_t rows = 0;
    for (const key_info& k : reference()) {
        INFO(k.key);
        const auto begin = text.find("\n| `" + k.key + "` |");
        REQUIRE(begin != std::string::npos);
        const std::string row = text.substr(begin + 1, text.find('\n', begin + 1) - begin - 1);
        CHECK_THAT(row, Catch::Contains("| " + k.allowed.substr(0, k.allowed.find(" (units")) + " |"));
        const bool word = k.default_text.empty() || k.default_text == "required" || k.default_text == "none";
        const std::string cell = word ? k.default_text : "`" + k.default_text + "`";
        CHECK_THAT(row, Catch::Contains(cell.empty() ? "| |" : "| " + cell + " |"));
        ++rows;
    }
    // And no row for a key that does not exist.
    std::size_t found = 0;
    for (auto at = text.find("\n| `"); at != std::string::npos; at = text.find("\n| `", at + 1)) {
        ++found;
    }
    CHECK(found == rows);
}

}  // namespace
}  // namespace buildkit_lb::config
