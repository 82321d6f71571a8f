#pragma once

#include <string>
#include <vector>

namespace buildkit_lb::config {

/// One key of the schema, for documentation and its tests.
struct key_info {
    std::string key;           ///< the path without indices: `pools[].workers[].weight`
    std::string allowed;       ///< what it may hold: `a whole number from 1 to 1000`
    std::string default_text;  ///< its default as it would be written; `required`, `none`; empty for a section
};

/// Every key that a file may have, in the order of the schema, as the schema itself tells it.
std::vector<key_info> reference();

}  // namespace buildkit_lb::config
