#include "config/not_yet.hpp"

#include <algorithm>
#include <array>

namespace buildkit_lb::config {
namespace {

// Remove a line when its feature is there, or add the values that work now. A section that is listed is refused whole.
constexpr std::array table{
    missing_feature{"listeners[].proxy_protocol", "off"},
};

}  // namespace

bool missing_feature::accepts(std::string_view text) const
{
    for (std::string_view rest = supported; !rest.empty();) {
        const auto bar = std::min(rest.find('|'), rest.size());
        if (rest.substr(0, bar) == text) {
            return true;
        }
        rest.remove_prefix(std::min(bar + 1, rest.size()));
    }
    return false;
}

const missing_feature* find_missing_feature(std::string_view key)
{
    const auto found = std::find_if(table.begin(), table.end(), [&](const missing_feature& m) { return m.key == key; });
    return found == table.end() ? nullptr : &*found;
}

std::span<const missing_feature> missing_features()
{
    return table;
}

}  // namespace buildkit_lb::config
