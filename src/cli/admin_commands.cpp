#include "cli/admin_commands.hpp"

#include <CLI/CLI.hpp>
#include <chrono>
#include <ostream>
#include <utility>

#include "config/load.hpp"
#include "config/scalars.hpp"
#include "config/token_file.hpp"
#include "ctl/admin_address.hpp"
#include "ctl/commands.hpp"

namespace buildkit_lb::cli {
namespace {

using namespace std::chrono_literals;

constexpr const char* token_variable = "BUILDKIT_LB_TOKEN";

constexpr const char* drain_footer =
    "The worker gets no new builds until it is undrained. With --wait the command returns when its last build has "
    "ended "
    "(made for a preStop hook).\n"
    "Exit codes: 0 it is draining, with --wait: drained; 1 the balancer could not be asked or refused, or the worker "
    "was undrained meanwhile; 2 the command line is wrong; 4 builds had not ended within the timeout.";

constexpr const char* others_footer =
    "Exit codes: 0 done, 1 the balancer could not be asked or refused, 2 the command "
    "line is wrong.";

std::string check_timeout(const std::string& text)
{
    const auto read = config::parse_duration(text);
    if (!read) {
        return read.error().text;
    }
    return *read > 168h ? "'" + text + "' is longer than 168h" : std::string{};
}

std::string check_not_empty(const std::string& text)
{
    return text.empty() ? "is empty" : std::string{};
}

bool is_there(const std::filesystem::path& file)
{
    std::error_code ignored;
    return std::filesystem::exists(file, ignored);
}

}  // namespace

admin_commands::admin_commands(CLI::App& to, const std::function<void(CLI::App&)>& add_config)
{
    const auto add = [&](const char* name, const char* about, const char* footer) {
        CLI::App* const command = to.add_subcommand(name, about);
        add_config(*command);
        command
            ->add_option("--admin", url_,
                         "Where the balancer's admin server is: tcp://HOST:PORT, http://HOST:PORT or unix:///PATH; "
                         "default: admin.address of the configuration, or tcp://127.0.0.1:9090 where there is none")
            ->type_name("URL")
            ->check([](const std::string& text) {
                const auto read = ctl::parse_admin_address(text);
                return read ? std::string{} : read.error().text;
            });
        command
            ->add_option("--token-file", token_file_,
                         "A file with the bearer token; default: the variable BUILDKIT_LB_TOKEN, then "
                         "admin.token_file of the configuration")
            ->type_name("FILE")
            ->check(check_not_empty);
        command->footer(footer);
        return command;
    };
    const auto add_worker = [&](CLI::App& command) {
        command.add_option("worker", worker_, "Its name in the configuration")
            ->type_name("WORKER")
            ->required()
            ->check(check_not_empty);
        command.add_option("--pool", pool_, "Only in this pool; default: in every pool that has it")
            ->type_name("POOL")
            ->check(check_not_empty);
    };
    status_ = add("status", "Show pools and workers of a running balancer", others_footer);
    status_->add_flag("--json", json_, "One JSON document instead of tables");
    drain_ = add("drain", "Let a worker's builds end and give it no new ones", drain_footer);
    add_worker(*drain_);
    CLI::Option* const wait = drain_->add_flag("--wait", wait_, "Return when its last build has ended");
    drain_->add_option("--timeout", timeout_, "With --wait: for so long at the most; default: 2h")
        ->type_name("DURATION")
        ->needs(wait)
        ->check(check_timeout);
    undrain_ = add("undrain", "Give a drained worker builds again", others_footer);
    add_worker(*undrain_);
}

bool admin_commands::parsed() const
{
    return status_->parsed() || drain_->parsed() || undrain_->parsed();
}

int admin_commands::execute(const std::string& config, const surroundings& with) const
{
    const auto found = find(config, with);
    if (!found) {
        return failed;
    }
    const auto server = with.connect(found->address, found->token);
    const ctl::console console{with.out, with.err};
    if (status_->parsed()) {
        return ctl::status(server, json_, console);
    }
    if (undrain_->parsed()) {
        return ctl::undrain(server, worker_, pool_, console);
    }
    return ctl::drain(server, {worker_, pool_, wait_, *config::parse_duration(timeout_)}, console);
}

std::optional<admin_commands::target> admin_commands::find(const std::string& config, const surroundings& with) const
{
    target found;
    if (url_.empty() || !config.empty()) {
        auto configured = from_config(config, with);
        if (!configured) {
            return std::nullopt;
        }
        found = std::move(*configured);
    }
    // The token of a configuration that nobody named is not for another server.
    if (!url_.empty()) {
        found.address = *ctl::parse_admin_address(url_);
    }
    const char* const given = with.environment(token_variable);
    if (!token_file_.empty() || given != nullptr) {
        auto token =
            !token_file_.empty() ? config::read_token_file(token_file_) : config::check_token(std::string{given});
        if (!token) {
            with.err << "buildkit-lb: " << (!token_file_.empty() ? token_file_ : token_variable) << " "
                     << token.error().text << "\n";
            return std::nullopt;
        }
        found.token = std::move(*token);
    }
    return found;
}

std::optional<admin_commands::target> admin_commands::from_config(const std::string& config,
                                                                  const surroundings& with) const
{
    std::filesystem::path file = config;
    for (auto at = with.default_files.begin(); file.empty() && at != with.default_files.end(); ++at) {
        if (is_there(*at)) {
            file = *at;
        }
    }
    target found{config::admin{}.address, {}};
    if (file.empty()) {
        return found;
    }
    const config::load_result loaded = config::load(file, config::named_files::leave);
    if (!loaded) {
        for (const config::problem& p : loaded.problems) {
            with.err << p.to_string() << "\n";
        }
        if (!config.empty()) {
            return std::nullopt;
        }
        with.err << "buildkit-lb: " << file.string() << " tells no admin.address: asking " << found.address.to_string()
                 << "\n";
        return found;
    }
    found.address = ctl::reached_from_here(loaded.value.admin.address);
    const bool needs_token = !status_->parsed() && token_file_.empty() && with.environment(token_variable) == nullptr;
    if (needs_token && !loaded.value.admin.token_file.empty()) {
        if (auto token = config::read_token_file(loaded.value.admin.token_file)) {
            found.token = std::move(*token);
        } else {
            with.err << "buildkit-lb: " << loaded.value.admin.token_file << " " << token.error().text << "\n";
        }
    }
    return found;
}

}  // namespace buildkit_lb::cli
