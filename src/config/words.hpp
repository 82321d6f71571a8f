#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// Small text helpers for messages to people.
namespace buildkit_lb::config {

/// `text` with every control character replaced, so that it stays on one line.
std::string one_line(std::string_view text);

/// `text` in single quotes, on one line and at most about 60 characters long, whatever it holds.
std::string in_quotes(std::string_view text);

/// `a`, `a or b`, `a, b or c`.
std::string joined(std::span<const std::string_view> words);

/// The number of letters to insert, remove, replace or swap with their neighbour that turn `a` into `b`
/// (optimal string alignment, a variant of the Damerau-Levenshtein distance).
std::size_t edit_distance(std::string_view a, std::string_view b);

/// The candidate that `word` is most likely a slip of the pen for; empty when none is near enough.
std::string_view nearest(std::string_view word, std::span<const std::string_view> candidates);

/// ` (did you mean 'x'?)`, or nothing when no candidate is near.
std::string suggestion(std::string_view word, std::span<const std::string_view> candidates);

}  // namespace buildkit_lb::config
