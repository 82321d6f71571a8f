#include "cli/command_line.hpp"

#include <catch2/catch.hpp>
#include <iostream>
#include <sstream>

namespace buildkit_lb::cli {
namespace {

const std::string example = SOURCE_DIR "/conf/lb.yaml";
const std::string broken = SOURCE_DIR "/CMakeLists.txt";

/// One run of the command line, and what came of it.
struct outcome {
    int code = -1;
    std::string out;
    std::string err;
    std::string ran;  ///< the file the balancer was run with
};

outcome execute_with(std::vector<std::string> arguments, std::vector<std::filesystem::path> default_files = {},
                     int run_code = 0)
{
    std::ostringstream out;
    std::ostringstream err;
    outcome o;
    const surroundings with{.out = out,
                            .err = err,
                            .default_files = std::move(default_files),
                            .run = [&](const config::load_result& loaded, const std::string& file) {
                                if (run_code < 0) {
                                    throw std::runtime_error{"can't listen on tcp://127.0.0.1:1: in use"};
                                }
                                o.ran = loaded.value.pools.empty() ? "nothing" : file;
                                return run_code;
                            }};
    o.code = execute(std::move(arguments), with);
    o.out = out.str();
    o.err = err.str();
    return o;
}

TEST_CASE("check says in one line that a file is fine")
{
    for (const auto& arguments : std::vector<std::vector<std::string>>{
             {"check", "--config", example}, {"--config", example, "check"}, {"check", "--config=" + example}}) {
        const outcome o = execute_with(arguments);
        CHECK(o.code == 0);
        CHECK(o.out == example + ": ok (1 listener, 1 pool, 3 workers)\n");
        CHECK(o.err.empty());
        CHECK(o.ran.empty());
    }
}

TEST_CASE("check and run list what is wrong and exit with 1")
{
    for (const auto& arguments :
         std::vector<std::vector<std::string>>{{"check", "--config", broken}, {"--config", broken}}) {
        const outcome o = execute_with(arguments);
        CHECK(o.code == 1);
        CHECK(o.out.empty());
        CHECK_THAT(o.err, Catch::StartsWith(broken + ":"));
        CHECK(o.ran.empty());
    }
    const outcome missing = execute_with({"check", "--config", "/nonexistent"});
    CHECK(missing.code == 1);
    CHECK(missing.err == "/nonexistent: can't be read: No such file or directory\n");
}

TEST_CASE("without a command the balancer runs, and its exit code is passed on")
{
    const outcome o = execute_with({"--config", example}, {}, 3);
    CHECK(o.code == 3);
    CHECK(o.ran == example);
    CHECK(o.err.empty());
}

TEST_CASE("a balancer that can't start says why and exits with 1")
{
    const outcome o = execute_with({"--config", example}, {}, -1);
    CHECK(o.code == 1);
    CHECK(o.err == "buildkit-lb: can't listen on tcp://127.0.0.1:1: in use\n");
}

TEST_CASE("the first default file that exists is taken")
{
    CHECK(execute_with({}, {"/nonexistent/a", example, broken}).ran == example);
    // One that exists and is bad is not passed over.
    CHECK(execute_with({}, {broken, example}).code == 1);
    const outcome none = execute_with({}, {"/nonexistent/a", "/nonexistent/b"});
    CHECK(none.code == 1);
    CHECK(none.err ==
          "buildkit-lb: there is no /nonexistent/a or /nonexistent/b: name a configuration with --config FILE\n");
    const surroundings real{.out = std::cout, .err = std::cerr, .run = {}};
    CHECK(real.default_files == std::vector<std::filesystem::path>{"conf/lb.yaml", "/etc/buildkit-lb/lb.yaml"});
}

TEST_CASE("help and version go to standard output and exit with 0")
{
    const outcome version = execute_with({"--version"});
    CHECK(version.code == 0);
    CHECK_THAT(version.out, Catch::Matches("buildkit-lb [0-9]+\\.[0-9]+\\.[0-9]+\n"));
    const outcome help = execute_with({"--help"});
    CHECK(help.code == 0);
    for (const char* part : {"--config FILE", "--version", "check", "conf/lb.yaml", "Exit codes: 0"}) {
        CHECK_THAT(help.out, Catch::Contains(part));
    }
    CHECK_THAT(execute_with({"check", "--help"}).out, Catch::Contains("--config FILE"));
}

TEST_CASE("a wrong command line exits with 2 and says so on standard error")
{
    for (const auto& arguments : std::vector<std::vector<std::string>>{
             {"--frob"}, {"frob"}, {"check", "extra"}, {"--config"}, {"--config", ""}, {"check", "check"}}) {
        const outcome o = execute_with(arguments, {example});
        INFO(arguments[0]);
        CHECK(o.code == 2);
        CHECK(o.out.empty());
        CHECK_FALSE(o.err.empty());
        CHECK(o.ran.empty());
    }
}

}  // namespace
}  // namespace buildkit_lb::cli
