#include "config/token_file.hpp"

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <system_error>

namespace buildkit_lb::config {
namespace {

constexpr std::size_t shortest = 16;
constexpr std::size_t longest = 4096;
constexpr std::string_view space = " \t\r\n";

}  // namespace

checked<std::string> check_token(std::string text)
{
    text.erase(0, std::min(text.find_first_not_of(space), text.size()));
    text.erase(text.find_last_not_of(space) + 1);
    if (text.empty()) {
        return complaint{"is empty: write a token into it, for example that of `openssl rand -hex 32`"};
    }
    if (text.size() < shortest) {
        return complaint{"holds " + std::to_string(text.size()) + " characters: a token has at least " +
                         std::to_string(shortest)};
    }
    if (text.size() > longest) {
        return complaint{"is too long: a token has at most " + std::to_string(longest) + " characters"};
    }
    const bool visible = std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7f; });
    if (!visible) {
        return complaint{"holds more than one word of ASCII characters: a token is one"};
    }
    return checked<std::string>{boost::system::in_place_value, std::move(text)};
}

checked<std::string> read_token_file(const std::string& path)
{
    errno = 0;
    std::ifstream in{path, std::ios::binary};
    std::string text(longest + 64, '\0');
    if (in) {
        in.read(text.data(), static_cast<std::streamsize>(text.size()));
    }
    // A directory opens, and fails when it is read.
    if (!in.is_open() || in.bad()) {
        return complaint{"can't be read: " + std::generic_category().message(errno)};
    }
    text.resize(static_cast<std::size_t>(in.gcount()));
    return check_token(std::move(text));
}

}  // namespace buildkit_lb::config
