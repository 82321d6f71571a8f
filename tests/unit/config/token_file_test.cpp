#include "config/token_file.hpp"

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <stdlib.h>

#include "config/load.hpp"
#include "texts.hpp"

namespace buildkit_lb::config {
namespace {

/// A directory with one file, removed with this.
class file_in_directory {
public:
    file_in_directory()
    {
        std::string name = std::filesystem::temp_directory_path() / "buildkit-lb-token-XXXXXX";
        REQUIRE(::mkdtemp(name.data()) != nullptr);
        directory = name;
    }
    file_in_directory(const file_in_directory&) = delete;
    file_in_directory& operator=(const file_in_directory&) = delete;
    ~file_in_directory() { std::filesystem::remove_all(directory); }

    std::string write(const char* name, std::string_view text) const
    {
        std::ofstream{directory / name, std::ios::binary} << text;
        return directory / name;
    }
    std::filesystem::path directory;
};

std::string complaint_about(std::string text)
{
    const auto token = check_token(std::move(text));
    return token ? "token " + *token : token.error().text;
}

TEST_CASE("a token is one word, without the white space around it")
{
    CHECK(complaint_about("0123456789abcdef\n") == "token 0123456789abcdef");
    CHECK(complaint_about(" \t0123456789abcdef\r\n\n") == "token 0123456789abcdef");
    CHECK_THAT(complaint_about("\n"), Catch::StartsWith("is empty"));
    CHECK(complaint_about("0123456789abcde\n") == "holds 15 characters: a token has at least 16");
    CHECK_THAT(complaint_about("0123456789 abcdef"), Catch::StartsWith("holds more than one word"));
    CHECK_THAT(complaint_about("0123456789abcdef\nsecond"), Catch::StartsWith("holds more than one word"));
    CHECK_THAT(complaint_about("0123456789abcdef\xc3\xa4"), Catch::StartsWith("holds more than one word"));
    CHECK_THAT(complaint_about(std::string(4097, 'x')), Catch::StartsWith("is too long"));
}

TEST_CASE("a token file that is bad is a problem of the configuration, at its line")
{
    const file_in_directory files;
    const auto load_with = [&](const std::string& token_file, named_files others = named_files::read) {
        return load(
            files.write("lb.yaml", testing::minimal() +
                                       "admin:\n  address: tcp://0.0.0.0:9090\n  token_file: " + token_file + "\n"),
            others);
    };
    const auto good = load_with(files.write("token", "0123456789abcdef\n"));
    REQUIRE(good);
    CHECK(good.value.admin.token == "0123456789abcdef");

    const std::pair<std::string, std::string> cases[] = {
        {files.directory / "missing", "' can't be read: No such file or directory"},
        {files.directory, "' can't be read: "},
        {files.write("empty", ""), "' is empty"},
        {files.write("short", "abc\n"), "' holds 3 characters"},
        {files.write("large", std::string(100'000, 'x')), "' is too long"},
    };
    for (const auto& [file, why] : cases) {
        INFO(file);
        const auto bad = load_with(file);
        REQUIRE(bad.problems.size() == 1);
        CHECK(bad.problems[0].path == "admin.token_file");
        CHECK(bad.problems[0].line > 10);
        CHECK_THAT(bad.problems[0].message, Catch::StartsWith("'" + file + why));
        CHECK(load_with(file, named_files::leave));
    }
}

}  // namespace
}  // namespace buildkit_lb::config
