#pragma once

#include <string>

#include "config/load.hpp"

namespace buildkit_lb::app {

/// Runs the balancer until a signal stops it. Returns the exit code of the process: 0 after a graceful stop in which
/// every connection ended by itself, 3 when connections had to be cut (a second signal, or `shutdown.grace` ran out).
/// Throws std::runtime_error, with a message for people, when an address can't be listened on.
int run(const config::load_result& loaded, const std::string& config_file);

}  // namespace buildkit_lb::app
