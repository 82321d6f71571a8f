#include "config/scalars.hpp"

#include <catch2/catch.hpp>

namespace buildkit_lb::config {
namespace {

using namespace std::chrono_literals;

/// What is wrong with a text, or nothing.
template <class T>
std::string complaint_of(const checked<T>& value)
{
    return value ? std::string{} : value.error().text;
}

TEST_CASE("durations are whole numbers with units")
{
    const std::pair<std::string_view, std::chrono::milliseconds> good[] = {
        {"500ms", 500ms}, {"5s", 5s},       {"10m", 10min},         {"1h", 1h},    {"0s", 0s},
        {"007s", 7s},     {"1h30m", 90min}, {"1m0s500ms", 60500ms}, {"3600s", 1h},
    };
    for (const auto& [text, value] : good) {
        INFO(text);
        REQUIRE(parse_duration(text).has_value());
        CHECK(*parse_duration(text) == value);
    }
}

TEST_CASE("a text that is no duration says why")
{
    const std::pair<std::string_view, std::string_view> bad[] = {
        {"", "'' is not a duration"},
        {"s", "'s' is not a duration"},
        {"-5s", "'-5s' is not a duration"},
        {"30", "'30' has no unit: write, for example, 30s"},
        {"1h30", "'1h30' has no unit: write, for example, 1h30s"},
        {"1.5s", "'1.5s' is not a duration of whole numbers"},
        {"5 s", "'5 s' is not a duration of whole numbers"},
        {"5sec", "'5sec' has the unit 'sec', which is not one of ms, s, m, h"},
        {"5S", "'5S' has the unit 'S', which is not one of ms, s, m, h"},
        {"2d", "'2d' has the unit 'd', which is not one of ms, s, m, h"},
        {"30m1h", "'30m1h' does not go from larger to smaller units"},
        {"1s1s", "'1s1s' does not go from larger to smaller units"},
        {"5s ", "'5s ' is not a duration"},
        {"99999999999999999999h", "'99999999999999999999h' is too long"},
        {"9999999999999h", "'9999999999999h' is too long"},
    };
    for (const auto& [text, why] : bad) {
        CHECK(complaint_of(parse_duration(text)) == why);
    }
}

TEST_CASE("sizes are whole numbers with a unit")
{
    CHECK(*parse_size("0B") == byte_count{0});
    CHECK(*parse_size("512B") == byte_count{512});
    CHECK(*parse_size("64KiB") == byte_count{65536});
    CHECK(*parse_size("1MiB") == byte_count{1048576});
    CHECK(*parse_size("2GiB") == byte_count{2147483648});
    CHECK(complaint_of(parse_size("64")) == "'64' has no unit: write, for example, 64MiB");
    CHECK(complaint_of(parse_size("64KB")) == "'64KB' has the unit 'KB', which is not one of B, KiB, MiB, GiB");
    CHECK(complaint_of(parse_size("64 KiB")) == "'64 KiB' has the unit ' KiB', which is not one of B, KiB, MiB, GiB");
    CHECK(complaint_of(parse_size("KiB")) == "'KiB' is not a size");
    CHECK(complaint_of(parse_size("")) == "'' is not a size");
    CHECK(complaint_of(parse_size("999999999999GiB")) == "'999999999999GiB' is too large");
}

TEST_CASE("whole numbers are decimal digits")
{
    CHECK(*parse_whole("0") == 0);
    CHECK(*parse_whole("42") == 42);
    CHECK(*parse_whole("-42") == -42);
    for (const std::string_view text : {"", "-", "+1", "1.0", "0x10", "1_000", " 1", "1 ", "one", "--1"}) {
        INFO(text);
        CHECK_FALSE(parse_whole(text).has_value());
    }
    CHECK(complaint_of(parse_whole("99999999999999999999")) == "'99999999999999999999' is too large");
}

TEST_CASE("decimals have at most one point and nothing else")
{
    CHECK(*parse_decimal("1") == 1.0);
    CHECK(*parse_decimal("1.25") == 1.25);
    for (const std::string_view text : {"", ".", "1.2.3", "1e3", "inf", "nan", "-1", "1,5"}) {
        INFO(text);
        CHECK_FALSE(parse_decimal(text).has_value());
    }
}

TEST_CASE("percentages carry their sign")
{
    CHECK(*parse_percentage("50%") == 50);
    CHECK(*parse_percentage("0%") == 0);
    CHECK(complaint_of(parse_percentage("50")) == "'50' has no unit: write 50%");
    CHECK(complaint_of(parse_percentage("0.5%")) == "'0.5%' is not a whole percentage");
    CHECK(complaint_of(parse_percentage("half")) == "'half' is not a percentage");
    CHECK(complaint_of(parse_percentage("%")) == "'%' is not a whole percentage");
}

TEST_CASE("booleans are those of YAML 1.2")
{
    CHECK(*parse_boolean("true"));
    CHECK(*parse_boolean("True"));
    CHECK_FALSE(*parse_boolean("false"));
    CHECK_FALSE(*parse_boolean("FALSE"));
    for (const std::string_view text : {"yes", "no", "on", "off"}) {
        CHECK_THAT(complaint_of(parse_boolean(text)), Catch::EndsWith("is a word in YAML 1.2, not true or false"));
    }
    CHECK(complaint_of(parse_boolean("1")) == "'1' is not true or false");
}

TEST_CASE("durations and sizes are written with the largest unit that fits")
{
    CHECK(to_text(0ms) == "0s");
    CHECK(to_text(1ms) == "1ms");
    CHECK(to_text(1500ms) == "1500ms");
    CHECK(to_text(90s) == "90s");
    CHECK(to_text(600s) == "10m");
    CHECK(to_text(3600s) == "1h");
    CHECK(to_text(byte_count{0}) == "0B");
    CHECK(to_text(byte_count{1000}) == "1000B");
    CHECK(to_text(byte_count{16ULL << 20}) == "16MiB");
}

}  // namespace
}  // namespace buildkit_lb::config
