#include "buildkit/place_words.hpp"

#include <algorithm>
#include <array>
#include <optional>

namespace buildkit_lb::buildkit {
namespace {

// A line of the display; more of a key tells people nothing.
constexpr std::size_t longest_key = 100;
constexpr std::size_t longest_source = 60;

struct character {
    char32_t value;
    std::size_t bytes;
};

/// The character that `text`, which is not empty, begins with; nullopt when that is no UTF-8.
std::optional<character> first_of(std::string_view text)
{
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned char lead = byte(0);
    if (lead < 0x80) {
        return character{lead, 1};
    }
    const std::size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    if (lead < 0xc2 || lead > 0xf4 || text.size() < length) {
        return std::nullopt;
    }
    char32_t value = lead & (0xffU >> (length + 1));
    for (std::size_t i = 1; i < length; ++i) {
        if ((byte(i) & 0xc0U) != 0x80) {
            return std::nullopt;
        }
        value = (value << 6U) | (byte(i) & 0x3fU);
    }
    constexpr std::array<char32_t, 5> least{0, 0, 0x80, 0x800, 0x10000};
    const bool surrogate = value >= 0xd800 && value <= 0xdfff;
    if (value < least.at(length) || value > 0x10ffff || surrogate) {
        return std::nullopt;
    }
    return character{value, length};
}

bool is_shown_as_it_is(char32_t c)
{
    const bool control = c < 0x20 || (c >= 0x7f && c < 0xa0);
    const bool line_end = c == 0x2028 || c == 0x2029;
    const bool direction =
        c == 0x061c || c == 0x200e || c == 0x200f || (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
    return !control && !line_end && !direction;
}

}  // namespace

std::string printable(std::string_view text, std::size_t most)
{
    std::string out;
    for (std::size_t shown = 0; !text.empty(); ++shown) {
        if (shown == most) {
            return out + "…";
        }
        const auto next = first_of(text);
        const std::size_t bytes = next ? next->bytes : 1;
        if (next && is_shown_as_it_is(next->value)) {
            out += text.substr(0, bytes);
        } else {
            out += '?';
        }
        text.remove_prefix(bytes);
    }
    return out;
}

std::string place_words(std::string_view policy, std::string_view reason, std::string_view key,
                        std::string_view key_source)
{
    struct words {
        std::string_view reason;
        std::string_view text;
    };
    static constexpr std::array with_key{words{"home", "home of "}, words{"warm", "warm for "},
                                         words{"spill", "spill of "}, words{"new", "new key "}};
    std::string out{policy};
    if (reason == "no-key") {
        return out + ": no key";
    }
    const auto found =
        std::find_if(with_key.begin(), with_key.end(), [&](const words& w) { return w.reason == reason; });
    if (found == with_key.end() || key.empty()) {
        return out;
    }
    out += ": ";
    out += found->text;
    out += printable(key, longest_key);
    if (!key_source.empty()) {
        out += ", from " + printable(key_source, longest_source);
    }
    return out;
}

}  // namespace buildkit_lb::buildkit
