#include "core/platform.hpp"

#include <catch2/catch.hpp>

#include "core/labels.hpp"

using namespace buildkit_lb;

TEST_CASE("platforms are compared in normal form", "[platform]")
{
    const auto [written, normal] = GENERATE(table<std::string, std::string>({
        {"linux/amd64", "linux/amd64"},
        {"Linux/AMD64", "linux/amd64"},
        {"linux/x86_64", "linux/amd64"},
        {"linux/amd64/v1", "linux/amd64"},
        {"linux/amd64/v3", "linux/amd64/v3"},
        {"linux/aarch64", "linux/arm64"},
        {"linux/arm64/v8", "linux/arm64"},
        {"linux/arm64/8", "linux/arm64"},
        {"linux/arm64/v9", "linux/arm64/v9"},
        {"linux/arm", "linux/arm/v7"},
        {"linux/arm/7", "linux/arm/v7"},
        {"linux/armhf", "linux/arm/v7"},
        {"linux/armel", "linux/arm/v6"},
        {"linux/i386", "linux/386"},
        {"macos/arm64", "darwin/arm64"},
        {"arm64", "linux/arm64"},
        {"x86_64", "linux/amd64"},
    }));
    CHECK(normal_platform(written) == normal);
}

TEST_CASE("what is no platform is not read as one", "[platform]")
{
    for (const auto* text : {"", "/", "linux", "linux/", "/amd64", "linux//v7", "linux/arm/v7/x", "linux/a b", "all"}) {
        CAPTURE(text);
        CHECK_FALSE(normal_platform(text));
    }
}

TEST_CASE("a list of platforms has each once, in its order", "[platform]")
{
    CHECK(normal_platforms("linux/arm64, linux/amd64,linux/aarch64") ==
          std::vector<std::string>{"linux/arm64", "linux/amd64"});
    CHECK_FALSE(normal_platforms("linux/arm64,"));
    CHECK_FALSE(normal_platforms(""));
}

TEST_CASE("which platforms a processor runs by itself", "[platform]")
{
    CHECK(runs_natively("linux/amd64", "linux/amd64/v3"));
    CHECK(runs_natively("linux/amd64", "linux/386"));
    CHECK(runs_natively("linux/arm64", "linux/arm/v7"));
    CHECK_FALSE(runs_natively("linux/arm/v7", "linux/arm64"));
    CHECK_FALSE(runs_natively("linux/amd64", "linux/arm64"));
    CHECK_FALSE(runs_natively("windows/amd64", "linux/amd64"));
}

TEST_CASE("labels are read from a text", "[labels]")
{
    const auto labels = parse_labels("disk=ssd,platform=linux/aarch64,example.test/rack=a=b");
    REQUIRE(labels.has_value());
    CHECK(to_text(*labels) == "disk=ssd,example.test/rack=a=b,platform=linux/arm64");
}

TEST_CASE("what is wrong with labels is said", "[labels]")
{
    const auto [text, what] = GENERATE(table<std::string, std::string>({
        {"", "not of the form"},
        {"disk", "'disk' is not of the form LABEL=VALUE"},
        {"disk=", "disk has no value"},
        {"=ssd", "'' is not the name of a label"},
        {"a b=c", "'a b' is not the name"},
        {"disk=ssd,disk=hdd", "disk is named twice"},
        {"platform=amiga", "'amiga' is not a platform"},
        {"disk=ssd,", "'' is not of the form"},
    }));
    CAPTURE(text);
    const auto labels = parse_labels(text);
    REQUIRE_FALSE(labels.has_value());
    CHECK(labels.error().text.find(what) != std::string::npos);
}
