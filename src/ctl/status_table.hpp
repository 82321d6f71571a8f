#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace buildkit_lb::ctl {

/// Two tables for people, of pools and of workers, from the document that `status --json` writes. Throws nlohmann's
/// exceptions when it is of another form. Pure.
std::string status_table(const nlohmann::ordered_json& all);

/// `text` on one line, without what a terminal would obey.
std::string printable(std::string_view text);

}  // namespace buildkit_lb::ctl
