#include "core/labels.hpp"

#include <algorithm>
#include <cctype>

#include "core/platform.hpp"

namespace buildkit_lb {
namespace {

constexpr std::size_t longest = 256;

bool is_label_name(std::string_view name)
{
    return !name.empty() && name.size() <= longest && std::all_of(name.begin(), name.end(), [](unsigned char c) {
        return std::isalnum(c) != 0 || std::string_view{"-_./:"}.find(static_cast<char>(c)) != std::string_view::npos;
    });
}

bool is_label_value(std::string_view value)
{
    return !value.empty() && value.size() <= longest &&
           std::none_of(value.begin(), value.end(), [](unsigned char c) { return c < ' ' || c == 0x7f || c == ','; });
}

}  // namespace

checked<label_map::value_type> checked_label(std::string_view name, std::string_view value)
{
    if (!is_label_name(name)) {
        return complaint{"'" + std::string{name.substr(0, longest)} + "' is not the name of a label"};
    }
    if (!is_label_value(value)) {
        return complaint{"the label " + std::string{name} + " has no value, or one with a comma in it"};
    }
    if (name == platform_label) {
        auto p = normal_platform(value);
        if (!p) {
            return complaint{"'" + std::string{value} + "' is not a platform such as linux/arm64"};
        }
        return label_map::value_type{name, std::move(*p)};
    }
    return label_map::value_type{name, value};
}

checked<label_map> parse_labels(std::string_view text)
{
    label_map all;
    for (;;) {
        const auto comma = text.find(',');
        const auto one = text.substr(0, comma);
        const auto equals = one.find('=');
        if (equals == one.npos) {
            return complaint{"'" + std::string{one.substr(0, longest)} + "' is not of the form LABEL=VALUE"};
        }
        auto label = checked_label(one.substr(0, equals), one.substr(equals + 1));
        if (!label) {
            return label.error();
        }
        if (!all.insert(*label).second) {
            return complaint{"the label " + label->first + " is named twice"};
        }
        if (comma == text.npos) {
            return all;
        }
        text.remove_prefix(comma + 1);
    }
}

std::string to_text(const label_map& labels)
{
    std::string text;
    for (const auto& [name, value] : labels) {
        text += (text.empty() ? "" : ",") + name + "=" + value;
    }
    return text;
}

}  // namespace buildkit_lb
