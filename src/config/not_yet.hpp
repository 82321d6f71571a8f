#pragma once

#include <cstdint>
#include <span>
#include <string_view>

/// What the schema knows and this version can't do. not_yet.cpp holds the table: the one place to change when a feature
/// arrives.
namespace buildkit_lb::config {

/// One key of which not every value, or no value at all, is supported.
struct missing_feature {
    std::string_view key;        ///< the path without indices: `pools[].workers[].max_builds`
    std::string_view supported;  ///< the values that are accepted, separated by '|'; empty: none

    /// `text` is a value as its reader writes it (`0s`, never `0ms`).
    bool accepts(std::string_view text) const;
};

/// nullptr: everything about that key works.
const missing_feature* find_missing_feature(std::string_view key);

/// The whole table.
std::span<const missing_feature> missing_features();

}  // namespace buildkit_lb::config
