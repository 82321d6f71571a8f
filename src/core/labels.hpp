#pragma once

#include <map>
#include <string>
#include <string_view>

#include "core/failure.hpp"

namespace buildkit_lb {

/// What distinguishes workers: `disk: ssd`.
using label_map = std::map<std::string, std::string, std::less<>>;

/// This label stands for a worker's native platform, whatever labels it has.
inline constexpr std::string_view platform_label = "platform";

/// Accepts one label: letters, digits and `-_./:` in its name, no comma or control character in its value, 256 bytes
/// at most each. The value of `platform` is normalised.
checked<label_map::value_type> checked_label(std::string_view name, std::string_view value);

/// Reads `disk=ssd,zone=a`.
checked<label_map> parse_labels(std::string_view text);

/// `disk=ssd,zone=a`
std::string to_text(const label_map& labels);

}  // namespace buildkit_lb
