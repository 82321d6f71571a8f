#include <catch2/catch.hpp>
#include <fstream>
#include <sstream>

#include "cli/command_line.hpp"
#include "ctl/commands.hpp"

using namespace buildkit_lb;

namespace {

/// One run of a command that asks a running balancer.
struct outcome {
    int code = -1;
    std::string out;
    std::string err;
    std::string address;  ///< that was asked
    std::string token;
    std::vector<std::string> calls;
};

const std::string secret = "a-token-of-the-tests";

/// A file that is removed with this.
class scratch_file {
public:
    explicit scratch_file(std::string_view text)
    {
        path_ = std::filesystem::temp_directory_path() / "buildkit-lb-cli-XXXXXX";
        const int made = ::mkstemp(path_.data());
        REQUIRE(made >= 0);
        ::close(made);
        std::ofstream{path_} << text;
    }
    scratch_file(const scratch_file&) = delete;
    scratch_file& operator=(const scratch_file&) = delete;
    ~scratch_file() { std::filesystem::remove(path_); }
    const std::string& path() const { return path_; }

private:
    std::string path_;
};

std::string configuration(const std::string& admin)
{
    return "listeners: [{name: l, address: tcp://127.0.0.1:1234, pool: p}]\n"
           "pools: [{name: p, workers: [{name: w1, address: tcp://127.0.0.1:1235}]}]\n"
           "admin: {" +
           admin + "}\n";
}

outcome run(std::vector<std::string> arguments, std::vector<std::filesystem::path> default_files = {},
            const char* variable = nullptr)
{
    std::ostringstream out;
    std::ostringstream err;
    outcome o;
    cli::surroundings with{.out = out, .err = err, .default_files = std::move(default_files), .run = {}};
    with.environment = [&](const char* name) {
        return name == std::string_view{"BUILDKIT_LB_TOKEN"} ? variable : nullptr;
    };
    with.connect = [&](const endpoint& address, const std::string& token) {
        o.address = address.to_string();
        o.token = token;
        return [&](const ctl::admin_call& call) -> checked<ctl::admin_answer> {
            o.calls.push_back(call.method + " " + call.target);
            return ctl::admin_answer{200, "{}"};
        };
    };
    o.code = cli::execute(std::move(arguments), with);
    o.out = out.str();
    o.err = err.str();
    return o;
}

}  // namespace

TEST_CASE("the commands ask what they are named after")
{
    CHECK(run({"status"}).calls == std::vector<std::string>{"GET /api/v1/pools", "GET /api/v1/workers"});
    CHECK(run({"undrain", "w1", "--pool", "p"}).calls ==
          std::vector<std::string>{"POST /api/v1/workers/w1/undrain?pool=p"});
    CHECK(run({"drain", "w1"}).calls == std::vector<std::string>{"POST /api/v1/workers/w1/drain"});
    CHECK(run({"drain", "w1", "--wait"}).calls.back() == "POST /api/v1/workers/w1/drain?wait=1&timeout=7200000ms");
    CHECK(run({"drain", "--wait", "--timeout=90s", "w1"}).calls.back() ==
          "POST /api/v1/workers/w1/drain?wait=1&timeout=90000ms");
}

TEST_CASE("a wrong command line asks nobody")
{
    for (const auto& arguments : std::vector<std::vector<std::string>>{{"drain"},
                                                                       {"drain", ""},
                                                                       {"drain", "w1", "w2"},
                                                                       {"drain", "w1", "--timeout", "2h"},
                                                                       {"drain", "w1", "--wait", "--timeout", "2"},
                                                                       {"drain", "w1", "--wait", "--timeout", "169h"},
                                                                       {"undrain", "w1", "--wait"},
                                                                       {"status", "w1"},
                                                                       {"status", "--admin", "lb:9090"},
                                                                       {"status", "drain", "w1"}}) {
        const auto o = run(arguments);
        INFO(arguments.back());
        CHECK(o.code == 2);
        CHECK(o.calls.empty());
        CHECK_FALSE(o.err.empty());
    }
}

TEST_CASE("the address is that of --admin, else of the configuration, else the default")
{
    const scratch_file config{configuration("address: tcp://127.0.0.1:7777")};
    CHECK(run({"status", "--admin", "http://lb:9"}, {config.path()}).address == "tcp://lb:9");
    CHECK(run({"status", "--config", config.path()}).address == "tcp://127.0.0.1:7777");
    CHECK(run({"status"}, {"/nonexistent", config.path()}).address == "tcp://127.0.0.1:7777");
    CHECK(run({"status"}, {"/nonexistent"}).address == "tcp://127.0.0.1:9090");
    const scratch_file token{secret + "\n"};
    const scratch_file open{configuration("address: tcp://0.0.0.0:7777, token_file: " + token.path())};
    CHECK(run({"status"}, {open.path()}).address == "tcp://127.0.0.1:7777");
}

TEST_CASE("a configuration that is bad is an error if it was named, else only a note")
{
    const scratch_file bad{"nonsense: 1\n"};
    const auto named = run({"status", "--config", bad.path()});
    CHECK(named.code == 1);
    CHECK(named.calls.empty());
    CHECK_THAT(named.err, Catch::Contains(bad.path() + ":1: nonsense"));
    const auto found = run({"status"}, {bad.path()});
    CHECK(found.code == 0);
    CHECK(found.address == "tcp://127.0.0.1:9090");
    CHECK_THAT(found.err, Catch::Contains("tells no admin.address"));
}

TEST_CASE("the token is that of --token-file, else of the environment, else of the configuration that was asked")
{
    const scratch_file token{secret + "\n"};
    const scratch_file other{"another-token-of-tests\n"};
    const scratch_file config{configuration("token_file: " + token.path())};
    CHECK(run({"drain", "w1", "--config", config.path()}).token == secret);
    CHECK(run({"drain", "w1"}, {config.path()}).token == secret);
    CHECK(run({"drain", "w1"}, {config.path()}, "a-token-of-the-environment").token == "a-token-of-the-environment");
    CHECK(run({"drain", "w1", "--token-file", other.path()}, {config.path()}, "a-token-of-the-environment").token ==
          "another-token-of-tests");
    // To an address that is not the configuration's, its token goes only if it was named.
    CHECK(run({"drain", "w1", "--admin", "tcp://elsewhere:9090"}, {config.path()}).token.empty());
    CHECK(run({"drain", "w1", "--admin", "tcp://elsewhere:9090", "--config", config.path()}).token == secret);
    CHECK(run({"drain", "w1"}).token.empty());
}

TEST_CASE("a token that is none is an error of whoever gave it")
{
    const auto missing = run({"drain", "w1", "--token-file", "/nonexistent/token"});
    CHECK(missing.code == 1);
    CHECK(missing.err == "buildkit-lb: /nonexistent/token can't be read: No such file or directory\n");
    CHECK(missing.calls.empty());
    const auto small = run({"drain", "w1"}, {}, "x");
    CHECK(small.code == 1);
    CHECK(small.err == "buildkit-lb: BUILDKIT_LB_TOKEN holds 1 characters: a token has at least 16\n");
    // One of the configuration that this user may not read: the server will tell whether it is needed.
    const scratch_file config{configuration("token_file: /nonexistent/token")};
    const auto unreadable = run({"drain", "w1", "--config", config.path()});
    CHECK(unreadable.code == 0);
    CHECK_THAT(unreadable.err, Catch::StartsWith("buildkit-lb: /nonexistent/token can't be read"));
    CHECK(run({"status", "--config", config.path()}).err.empty());
}
