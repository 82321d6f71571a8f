#include "buildkit/version_order.hpp"

#include <algorithm>
#include <array>
#include <optional>

namespace buildkit_lb::buildkit {
namespace {

struct version {
    std::array<std::string_view, 3> numbers;
    std::string_view pre_release;
};

bool is_number(std::string_view text)
{
    return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

/// Cuts the text before the first `separator` off the front of `rest`, all of it where there is none.
std::string_view cut(std::string_view& rest, char separator)
{
    const auto end = rest.find(separator);
    const std::string_view part = rest.substr(0, end);
    rest = end == std::string_view::npos ? std::string_view{} : rest.substr(end + 1);
    return part;
}

std::optional<version> parse(std::string_view text)
{
    if (text.starts_with('v')) {
        text.remove_prefix(1);
    }
    text = text.substr(0, text.find('+'));
    std::string_view core = text;
    version v;
    if (const auto dash = text.find('-'); dash != std::string_view::npos) {
        core = text.substr(0, dash);
        v.pre_release = text.substr(dash + 1);
    }
    for (auto& number : v.numbers) {
        number = cut(core, '.');
        if (!is_number(number)) {
            return std::nullopt;
        }
        number.remove_prefix(std::min(number.find_first_not_of('0'), number.size()));
    }
    return core.empty() ? std::optional{v} : std::nullopt;
}

/// Of numbers of any length, without leading zeros.
std::weak_ordering compare_numbers(std::string_view a, std::string_view b)
{
    if (a.size() != b.size()) {
        return a.size() <=> b.size();
    }
    return a <=> b;
}

std::weak_ordering compare_pre_releases(std::string_view a, std::string_view b)
{
    if (a.empty() || b.empty()) {
        return a.empty() <=> b.empty();  // none is later than any
    }
    while (!a.empty() && !b.empty()) {
        std::string_view one = cut(a, '.');
        std::string_view other = cut(b, '.');
        std::weak_ordering order = std::weak_ordering::equivalent;
        if (is_number(one) && is_number(other)) {
            one.remove_prefix(std::min(one.find_first_not_of('0'), one.size()));
            other.remove_prefix(std::min(other.find_first_not_of('0'), other.size()));
            order = compare_numbers(one, other);
        } else if (is_number(one) != is_number(other)) {
            order = is_number(other) <=> is_number(one);  // numbers first
        } else {
            order = one <=> other;
        }
        if (order != std::weak_ordering::equivalent) {
            return order;
        }
    }
    return b.empty() <=> a.empty();  // the longer one is later
}

}  // namespace

std::weak_ordering compare_versions(std::string_view a, std::string_view b)
{
    const auto one = parse(a);
    const auto other = parse(b);
    if (!one || !other) {
        return one.has_value() <=> other.has_value();
    }
    for (std::size_t i = 0; i < one->numbers.size(); ++i) {
        const auto order = compare_numbers(one->numbers[i], other->numbers[i]);
        if (order != std::weak_ordering::equivalent) {
            return order;
        }
    }
    return compare_pre_releases(one->pre_release, other->pre_release);
}

}  // namespace buildkit_lb::buildkit
