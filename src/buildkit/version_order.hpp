#pragma once

#include <compare>
#include <string_view>

namespace buildkit_lb::buildkit {

/// Compares two versions of BuildKit by the rules of semver.org: `v0.13.0-rc1` before `v0.13.0` before `v0.34.2`. A
/// leading `v` does not matter, build metadata (`+…`) does not count. What is no version (a commit, nothing at all) is
/// older than every version, and equal to its like.
std::weak_ordering compare_versions(std::string_view a, std::string_view b);

}  // namespace buildkit_lb::buildkit
