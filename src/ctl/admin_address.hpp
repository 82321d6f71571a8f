#pragma once

#include <string>
#include <string_view>

#include "core/endpoint.hpp"

namespace buildkit_lb::ctl {

/// Where an admin server is, as people write it: `tcp://HOST:PORT`, `http://HOST[:PORT][/]` or `unix:///PATH`.
checked<endpoint> parse_admin_address(std::string_view text);

/// How a server that listens on `address` is reached from this machine: `0.0.0.0` and `[::]` are no addresses to
/// connect to.
endpoint reached_from_here(endpoint address);

/// What stands in a path for `text`, whatever it holds.
std::string percent_encoded(std::string_view text);

}  // namespace buildkit_lb::ctl
