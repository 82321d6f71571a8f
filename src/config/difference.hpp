#pragma once

#include <map>
#include <string>
#include <vector>

namespace YAML {
class Node;
}

namespace buildkit_lb::config {

/// Every value of a file as it is written there, by its path. Elements of lists go by their `name` (or `host`):
/// `pools[default].workers[w1].weight`.
using flat_values = std::map<std::string, std::string>;
flat_values flatten(const YAML::Node& document);

/// What became of the file, one line a value: `pools[default].workers[w1].weight: 1 -> 2`, `…: added, 2`, `…: removed`.
std::vector<std::string> difference(const flat_values& before, const flat_values& after);

}  // namespace buildkit_lb::config
