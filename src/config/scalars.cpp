#include "config/scalars.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "config/words.hpp"

namespace buildkit_lb::config {
namespace {

struct unit {
    std::string_view name;
    std::uint64_t factor;
};

// Largest first: that is the order in which a duration may combine them, and in which to_text() tries them.
constexpr std::array duration_units{unit{"h", 3'600'000}, unit{"m", 60'000}, unit{"s", 1'000}, unit{"ms", 1}};
constexpr std::array size_units{unit{"GiB", 1ULL << 30}, unit{"MiB", 1ULL << 20}, unit{"KiB", 1ULL << 10},
                                unit{"B", 1}};

// Far above every range of the schema, and far below where a multiplication could overflow.
constexpr std::uint64_t largest_number = 1'000'000'000'000;

bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/// The longest start of `text` of which `belongs` holds, cut off from `text`.
std::string_view cut(std::string_view& text, bool (*belongs)(char))
{
    const auto end = std::find_if_not(text.begin(), text.end(), belongs);
    const auto length = static_cast<std::size_t>(end - text.begin());
    const std::string_view start = text.substr(0, length);
    text.remove_prefix(length);
    return start;
}

std::optional<std::uint64_t> number(std::string_view digits)
{
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error != std::errc{} || end != digits.data() + digits.size() || value > largest_number) {
        return std::nullopt;
    }
    return value;
}

complaint about(std::string_view text, std::string_view what)
{
    return complaint{in_quotes(text) + " " + std::string{what}};
}

complaint unknown_unit(std::string_view text, std::string_view found, std::string_view units)
{
    return about(text, "has the unit " + in_quotes(found) + ", which is not one of " + std::string{units});
}

template <std::size_t N>
std::string with_unit(std::uint64_t value, const std::array<unit, N>& units, std::string_view zero)
{
    if (value == 0) {
        return std::string{zero};
    }
    const auto fits = std::find_if(units.begin(), units.end(), [&](const unit& u) { return value % u.factor == 0; });
    return std::to_string(value / fits->factor) + std::string{fits->name};
}

}  // namespace

checked<std::int64_t> parse_whole(std::string_view text)
{
    std::string_view digits = text;
    const bool negative = digits.starts_with('-');
    if (negative) {
        digits.remove_prefix(1);
    }
    if (digits.empty() || !std::all_of(digits.begin(), digits.end(), is_digit)) {
        return about(text, "is not a whole number");
    }
    const auto value = number(digits);
    if (!value) {
        return about(text, "is too large");
    }
    return negative ? -static_cast<std::int64_t>(*value) : static_cast<std::int64_t>(*value);
}

checked<double> parse_decimal(std::string_view text)
{
    // from_chars alone would also take `inf`, `nan` and exponents.
    const auto of_number = [](char c) { return is_digit(c) || c == '.'; };
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (!std::all_of(text.begin(), text.end(), of_number) || error != std::errc{} || end != text.data() + text.size()) {
        return about(text, "is not a number");
    }
    return value;
}

checked<std::chrono::milliseconds> parse_duration(std::string_view text)
{
    std::string_view rest = text;
    std::uint64_t total = 0;
    auto allowed = duration_units.begin();
    do {
        const std::string_view digits = cut(rest, is_digit);
        if (digits.empty()) {
            return about(text, "is not a duration");
        }
        const std::string_view name = cut(rest, is_letter);
        if (name.empty()) {
            return rest.empty() ? about(text, "has no unit: write, for example, " + std::string{text} + "s")
                                : about(text, "is not a duration of whole numbers");
        }
        const auto found =
            std::find_if(duration_units.begin(), duration_units.end(), [&](const unit& u) { return u.name == name; });
        if (found == duration_units.end()) {
            return unknown_unit(text, name, "ms, s, m, h");
        }
        if (found < allowed) {
            return about(text, "does not go from larger to smaller units");
        }
        allowed = found + 1;
        const auto value = number(digits);
        if (!value) {
            return about(text, "is too long");
        }
        total += *value * found->factor;
    } while (!rest.empty());
    return std::chrono::milliseconds{static_cast<std::int64_t>(total)};
}

checked<byte_count> parse_size(std::string_view text)
{
    std::string_view rest = text;
    const std::string_view digits = cut(rest, is_digit);
    if (digits.empty()) {
        return about(text, "is not a size");
    }
    if (rest.empty()) {
        return about(text, "has no unit: write, for example, " + std::string{text} + "MiB");
    }
    const auto found =
        std::find_if(size_units.begin(), size_units.end(), [&](const unit& u) { return u.name == rest; });
    if (found == size_units.end()) {
        return unknown_unit(text, rest, "B, KiB, MiB, GiB");
    }
    const auto value = number(digits);
    if (!value || *value > (1ULL << 62) / found->factor) {
        return about(text, "is too large");
    }
    return byte_count{*value * found->factor};
}

checked<std::int64_t> parse_percentage(std::string_view text)
{
    if (!text.ends_with('%')) {
        const auto bare = parse_whole(text);
        return bare ? about(text, "has no unit: write " + std::string{text} + "%") : about(text, "is not a percentage");
    }
    const auto value = parse_whole(text.substr(0, text.size() - 1));
    if (!value) {
        return about(text, "is not a whole percentage");
    }
    return value;
}

checked<bool> parse_boolean(std::string_view text)
{
    if (text == "true" || text == "True" || text == "TRUE") {
        return true;
    }
    if (text == "false" || text == "False" || text == "FALSE") {
        return false;
    }
    constexpr std::array<std::string_view, 4> yaml_1_1{"yes", "no", "on", "off"};
    if (std::find(yaml_1_1.begin(), yaml_1_1.end(), text) != yaml_1_1.end()) {
        return about(text, "is a word in YAML 1.2, not true or false");
    }
    return about(text, "is not true or false");
}

std::string to_text(std::chrono::milliseconds value)
{
    return with_unit(static_cast<std::uint64_t>(value.count()), duration_units, "0s");
}

std::string to_text(byte_count value)
{
    return with_unit(value.value, size_units, "0B");
}

}  // namespace buildkit_lb::config
