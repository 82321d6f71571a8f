#pragma once

#include <functional>
#include <optional>
#include <string>

#include "cli/command_line.hpp"

namespace CLI {
class App;
}

namespace buildkit_lb::cli {

/// The commands that ask a running balancer: `status`, `drain`, `undrain`. Adds them to the command line and, once that
/// is parsed, does what it asks for. Lives on the stack of execute().
class admin_commands {
public:
    /// `add_config` adds --config to a command.
    admin_commands(CLI::App& to, const std::function<void(CLI::App&)>& add_config);
    admin_commands(const admin_commands&) = delete;
    admin_commands& operator=(const admin_commands&) = delete;

    /// The command line names one of them.
    bool parsed() const;

    /// Returns the exit code of the process. `config` is the file that --config names; empty: none.
    int execute(const std::string& config, const surroundings& with) const;

private:
    struct target {
        endpoint address;
        std::string token;
    };
    std::optional<target> find(const std::string& config, const surroundings& with) const;
    std::optional<target> from_config(const std::string& config, const surroundings& with) const;

    CLI::App* status_ = nullptr;
    CLI::App* drain_ = nullptr;
    CLI::App* undrain_ = nullptr;
    std::string url_;
    std::string token_file_;
    std::string worker_;
    std::string pool_;
    std::string timeout_ = "2h";
    bool json_ = false;
    bool wait_ = false;
};

}  // namespace buildkit_lb::cli
