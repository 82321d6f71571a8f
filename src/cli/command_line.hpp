#pragma once

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <iosfwd>
#include <string>
#include <vector>

#include "config/load.hpp"
#include "ctl/admin_call.hpp"

namespace buildkit_lb::cli {

/// What the process exits with. run() has codes of its own: see app/run.hpp.
enum exit_code : int {
    ok = 0,
    failed = 1,  ///< the configuration is bad, or the balancer can't start
    usage = 2,   ///< the command line is wrong
};  // 3 is of run(), 4 of `drain --wait` (ctl/commands.hpp)

/// What the command line acts on. main() gives the real things, tests give their own.
struct surroundings {
    std::ostream& out;
    std::ostream& err;
    /// Where a configuration is looked for when none is named, in this order.
    std::vector<std::filesystem::path> default_files = {"conf/lb.yaml", "/etc/buildkit-lb/lb.yaml"};
    /// Runs the balancer and returns the exit code; an exception says why it can't start.
    std::function<int(const config::load_result&, const std::string& config_file)> run;
    /// Makes what the commands that ask a running balancer speak to.
    std::function<ctl::admin_server(const endpoint&, const std::string& token)> connect = ctl::admin_server_at;
    /// A variable of the environment, or nullptr.
    std::function<const char*(const char*)> environment = [](const char* name) { return std::getenv(name); };
};

/// Does what the arguments (without the program's name) ask for and returns the exit code of the process. Called once,
/// by main.
int execute(std::vector<std::string> arguments, const surroundings& with);

}  // namespace buildkit_lb::cli
