#include "core/log.hpp"

#include <catch2/catch.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <regex>
#include <sstream>
#include <unistd.h>

namespace buildkit_lb {
namespace {

/// Standard error goes to a file while this lives, and logging is as it was at the start when it ends.
class captured_log {
public:
    captured_log(log::level least, log::format as) : file_{std::tmpfile()}, standard_error_{::dup(STDERR_FILENO)}
    {
        REQUIRE(file_ != nullptr);
        std::fflush(stderr);
        ::dup2(::fileno(file_), STDERR_FILENO);
        log::configure(least, as);
    }
    captured_log(const captured_log&) = delete;
    captured_log& operator=(const captured_log&) = delete;
    ~captured_log()
    {
        std::fflush(stderr);
        ::dup2(standard_error_, STDERR_FILENO);
        ::close(standard_error_);
        std::fclose(file_);
        log::configure(log::level::info, log::format::text);
    }

    std::vector<std::string> lines()
    {
        std::fflush(stderr);
        std::rewind(file_);
        std::string text;
        for (int c = std::fgetc(file_); c != EOF; c = std::fgetc(file_)) {
            text += static_cast<char>(c);
        }
        std::vector<std::string> out;
        std::istringstream in{text};
        for (std::string line; std::getline(in, line);) {
            out.push_back(line);
        }
        return out;
    }

private:
    std::FILE* file_;
    int standard_error_;
};

/// A text line without its time, which must look like one.
std::string without_time(const std::string& line)
{
    static const std::regex time{R"(^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z )"};
    return std::regex_search(line, time) ? std::regex_replace(line, time, "") : "no time: " + line;
}

TEST_CASE("an event in text is one line of key=value")
{
    captured_log log{log::level::info, log::format::text};
    log::info("worker is up", {{"pool", "default"}, {"worker", "w1"}, {"after", 3}, {"first", true}, {"load", 0.5}});
    log::warn("no fields");
    const auto lines = log.lines();
    REQUIRE(lines.size() == 2);
    CHECK(without_time(lines[0]) == "info worker is up pool=default worker=w1 after=3 first=true load=0.5");
    CHECK(without_time(lines[1]) == "warn no fields");
}

TEST_CASE("a value that could be misread is quoted and stays on its line")
{
    captured_log log{log::level::info, log::format::text};
    log::info("e", {{"a", ""}, {"b", "x y"}, {"c", "k=v"}, {"d", "say \"hi\""}, {"e", "back\\slash"}});
    log::info("e",
              {{"a", "one\ntwo"}, {"b", "tab\there"}, {"c", std::string{"nul\0bell\x07", 9}}, {"d", "\r\x1b[31m"}});
    const auto lines = log.lines();
    REQUIRE(lines.size() == 2);
    CHECK(without_time(lines[0]) == R"(info e a="" b="x y" c="k=v" d="say \"hi\"" e="back\\slash")");
    CHECK(without_time(lines[1]) == R"(info e a="one\ntwo" b="tab\there" c=nul\u0000bell\u0007 d="\r\u001b[31m")");
}

TEST_CASE("an event in JSON is one object a line, and numbers stay numbers")
{
    captured_log log{log::level::info, log::format::json};
    log::error("task failed", {{"task", "probe \"w1\""},
                               {"error", "a\nb\\c\x01"},
                               {"after", 3},
                               {"negative", -1},
                               {"last", false},
                               {"percent", "100%v"}});
    const auto lines = log.lines();
    REQUIRE(lines.size() == 1);
    const auto event = nlohmann::json::parse(lines[0]);
    CHECK(event["level"] == "error");
    CHECK(event["event"] == "task failed");
    CHECK(event["task"] == "probe \"w1\"");
    CHECK(event["error"] == "a\nb\\c\x01");
    CHECK(event["after"] == 3);
    CHECK(event["negative"] == -1);
    CHECK(event["last"] == false);
    CHECK(event["percent"] == "100%v");
    CHECK(without_time(event["time"].get<std::string>() + " ") == "");
}

TEST_CASE("levels below the least are not written")
{
    captured_log log{log::level::warn, log::format::text};
    CHECK_FALSE(log::enabled(log::level::debug));
    CHECK_FALSE(log::enabled(log::level::info));
    CHECK(log::enabled(log::level::warn));
    log::debug("d");
    log::info("i");
    log::warn("w");
    log::error("e");
    const auto lines = log.lines();
    REQUIRE(lines.size() == 2);
    CHECK(without_time(lines[0]) == "warn w");
    CHECK(without_time(lines[1]) == "error e");

    log::configure(log::level::debug, log::format::text);
    log::debug("d");
    CHECK(log.lines().size() == 3);
}

}  // namespace
}  // namespace buildkit_lb
