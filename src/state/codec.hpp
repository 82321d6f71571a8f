#pragma once

#include <chrono>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/failure.hpp"

namespace buildkit_lb::state {

using wall_time = std::chrono::system_clock::time_point;

/// A worker that is warm for a key, by the wall clock: what another process can make sense of.
struct saved_warmth {
    std::string worker;
    wall_time built;  ///< in whole seconds
    double cached_share = 0;
};

struct saved_key {
    std::string key;
    std::vector<saved_warmth> workers;  ///< warmest first: the order says who was first of all
};

/// What is kept of one pool.
struct saved_pool {
    std::string name;
    std::vector<saved_key> keys;                   ///< the one that was built longest ago first
    std::map<std::string, std::string> addresses;  ///< of the workers by their names: one at another address is another
    std::vector<std::string> drained;              ///< workers that an operator wants no new builds on
};

/// The version of the format. Goes up when an older program could not make sense of a file any more; what is only added
/// is ignored by older programs.
inline constexpr int format_version = 1;

/// Writes the text of a state file piece by piece, so that it is never in memory as a whole: begin(), then for each
/// pool begin_pool(), key() …, end_pool(), then end(). It is one JSON document with a line for each key. Pure.
class encoder {
public:
    std::string begin(wall_time now);
    std::string begin_pool(std::string_view name);
    std::string key(const saved_key& k);
    std::string end_pool(const std::map<std::string, std::string>& addresses, const std::vector<std::string>& drained);
    std::string end();

private:
    bool first_pool_ = true;
    bool first_key_ = true;
};

/// Reads the text of a state file. A complaint says what is wrong with it: it is damaged, or of another version.
/// Unknown names are ignored.
checked<std::vector<saved_pool>> decode(std::string_view text);

}  // namespace buildkit_lb::state
