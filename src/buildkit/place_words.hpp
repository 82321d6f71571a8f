#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace buildkit_lb::buildkit {

/// `text` as it can be shown in a terminal and put into a protobuf string: whatever is no UTF-8, a control character,
/// or changes the direction of what is written is a `?`, and more than `most` characters end in `…`.
std::string printable(std::string_view text, std::size_t most);

/// Why a build is where it is, for its client: `cache-affinity: home of example.test/team/app, from vcs:source`.
/// Policies that do not look at the key say their name only. `reason` is the label of a pick; `key` may hold anything.
std::string place_words(std::string_view policy, std::string_view reason, std::string_view key,
                        std::string_view key_source);

}  // namespace buildkit_lb::buildkit
