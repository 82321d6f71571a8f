#pragma once

#include <string>

#include "core/failure.hpp"

namespace buildkit_lb::config {

/// Reads a bearer token: the text of the file without white space around it. A complaint says why it can't be one: the
/// file can't be read, or it is empty, too short to be a secret, too long for a header, or holds what a header can't.
checked<std::string> read_token_file(const std::string& path);

/// The same check for a token from elsewhere.
checked<std::string> check_token(std::string text);

}  // namespace buildkit_lb::config
