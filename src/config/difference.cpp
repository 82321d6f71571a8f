#include "config/difference.hpp"

#include <yaml-cpp/yaml.h>

namespace buildkit_lb::config {
namespace {

/// What an element of a list is called; its number where it has no name.
std::string name_of(const YAML::Node& element, std::size_t index)
{
    if (element.IsMap()) {
        for (const char* key : {"name", "host"}) {
            if (const YAML::Node named = element[key]; named && named.IsScalar()) {
                return named.Scalar();
            }
        }
    }
    return std::to_string(index);
}

void flatten_into(flat_values& out, const YAML::Node& node, const std::string& path)
{
    if (node.IsMap()) {
        for (const auto& pair : node) {
            flatten_into(out, pair.second, path.empty() ? pair.first.Scalar() : path + "." + pair.first.Scalar());
        }
    } else if (node.IsSequence()) {
        std::size_t index = 0;
        for (const YAML::Node& element : node) {
            flatten_into(out, element, path + "[" + name_of(element, index) + "]");
            ++index;
        }
    } else {
        out[path] = node.IsScalar() ? node.Scalar() : std::string{};
    }
}

}  // namespace

flat_values flatten(const YAML::Node& document)
{
    flat_values out;
    flatten_into(out, document, {});
    return out;
}

std::vector<std::string> difference(const flat_values& before, const flat_values& after)
{
    std::vector<std::string> lines;
    auto was = before.begin();
    auto is = after.begin();
    while (was != before.end() || is != after.end()) {
        if (is == after.end() || (was != before.end() && was->first < is->first)) {
            lines.push_back(was->first + ": removed");
            ++was;
        } else if (was == before.end() || is->first < was->first) {
            lines.push_back(is->first + ": added, " + is->second);
            ++is;
        } else {
            if (was->second != is->second) {
                lines.push_back(is->first + ": " + was->second + " -> " + is->second);
            }
            ++was;
            ++is;
        }
    }
    return lines;
}

}  // namespace buildkit_lb::config
