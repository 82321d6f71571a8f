#include "cli/command_line.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <optional>
#include <ostream>

#include "cli/admin_commands.hpp"
#include "config/load.hpp"

namespace buildkit_lb::cli {
namespace {

constexpr const char* about = "Balances builds over a pool of BuildKit workers.";

constexpr const char* footer =
    "Without a command, buildkit-lb runs until SIGTERM or SIGINT and then stops gracefully; a second signal stops it "
    "at once.\n"
    "Exit codes: 0 all is well, 1 the configuration is bad or the balancer can't start, 2 the command line is wrong, "
    "3 stopped with connections cut; 4 with drain --wait: builds had not ended in time.";

/// The file to read, or nullopt with an error written.
std::optional<std::filesystem::path> find_config(const std::string& named, const surroundings& with)
{
    if (!named.empty()) {
        return named;
    }
    std::string tried;
    for (const auto& file : with.default_files) {
        std::error_code ignored;
        if (std::filesystem::exists(file, ignored)) {
            return file;
        }
        tried += (tried.empty() ? "" : " or ") + file.string();
    }
    with.err << "buildkit-lb: there is no " << tried << ": name a configuration with --config FILE\n";
    return std::nullopt;
}

std::string counted(std::size_t number, std::string_view what)
{
    return std::to_string(number) + " " + std::string{what} + (number == 1 ? "" : "s");
}

int check(const std::filesystem::path& file, const config::root& settings, const surroundings& with)
{
    std::size_t workers = 0;
    for (const config::pool& p : settings.pools) {
        workers += p.workers.size();
    }
    with.out << file.string() << ": ok (" << counted(settings.listeners.size(), "listener") << ", "
             << counted(settings.pools.size(), "pool") << ", " << counted(workers, "worker") << ")\n";
    return ok;
}

int run(const std::filesystem::path& file, const config::load_result& loaded, const surroundings& with)
{
    try {
        return with.run(loaded, file.string());
    } catch (const std::exception& e) {
        with.err << "buildkit-lb: " << e.what() << "\n";
        return failed;
    }
}

}  // namespace

int execute(std::vector<std::string> arguments, const surroundings& with)
{
    CLI::App app{about, "buildkit-lb"};
    app.set_version_flag("--version", "buildkit-lb " BUILDKIT_LB_VERSION);
    app.footer(footer);
    app.require_subcommand(0, 1);

    std::string named;
    const auto add_config = [&](CLI::App& to) {
        to.add_option("--config", named, "The configuration; default: conf/lb.yaml, then /etc/buildkit-lb/lb.yaml")
            ->type_name("FILE")
            ->check([](const std::string& file) { return file.empty() ? "the name is empty" : std::string{}; });
    };
    add_config(app);
    admin_commands asks{app, add_config};
    CLI::App* const check_command = app.add_subcommand("check", "Check the configuration and list everything wrong");
    add_config(*check_command);
    check_command->footer(
        "Exit codes: 0 it is fine, 1 it is not (the errors are on standard error), 2 the command line is wrong.\n");

    try {
        std::reverse(arguments.begin(), arguments.end());  // CLI11 takes them from the back
        app.parse(std::move(arguments));
    } catch (const CLI::ParseError& e) {
        return app.exit(e, with.out, with.err) == 0 ? ok : usage;
    }

    if (asks.parsed()) {
        return asks.execute(named, with);
    }
    const auto file = find_config(named, with);
    if (!file) {
        return failed;
    }
    const config::load_result loaded = config::load(*file);
    if (!loaded) {
        for (const config::problem& p : loaded.problems) {
            with.err << p.to_string() << "\n";
        }
        return failed;
    }
    return check_command->parsed() ? check(*file, loaded.value, with) : run(*file, loaded, with);
}

}  // namespace buildkit_lb::cli
