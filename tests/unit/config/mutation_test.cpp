#include <catch2/catch.hpp>
#include <random>

#include "config/load.hpp"
#include "texts.hpp"

namespace buildkit_lb::config {
namespace {

using testing::read_file;

/// Damages `text` at one to four places: a byte changed, removed or inserted, a line removed, doubled or moved.
std::string damaged(std::string text, std::mt19937& random)
{
    const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random() % std::max<std::size_t>(n, 1)); };
    const auto line_at = [&](std::size_t at) {
        const auto begin = at == 0 ? 0 : text.rfind('\n', at - 1) + 1;
        return std::pair{begin, std::min(text.find('\n', at), text.size() - 1) + 1 - begin};
    };
    constexpr std::string_view telling = ":-[]{}#&*!|>'\"%@`,?\n\t \0\x80\xff<~0";
    for (std::size_t rounds = 1 + below(4); rounds > 0 && !text.empty(); --rounds) {
        const std::size_t at = below(text.size());
        switch (below(7)) {
            case 0: text[at] = static_cast<char>(random() & 0xff); break;
            case 1: text[at] = telling[below(telling.size())]; break;
            case 2: text.erase(at, 1 + below(8)); break;
            case 3: text.insert(at, 1, telling[below(telling.size())]); break;
            case 4: {
                const auto [begin, length] = line_at(at);
                text.erase(begin, length);
                break;
            }
            case 5: {
                const auto [begin, length] = line_at(at);
                text.insert(begin, text.substr(begin, length));
                break;
            }
            default: {
                const auto [begin, length] = line_at(at);
                const std::string line = text.substr(begin, length);
                text.erase(begin, length);
                text.insert(below(text.size() + 1), line);
                break;
            }
        }
    }
    return text;
}

/// Checks what holds for any text. Returns whether it loaded.
bool survives(const std::string& text)
{
    const load_result r = parse(text, "f");
    int line = 0;
    const auto lines = std::count(text.begin(), text.end(), '\n') + 1;
    for (const problem& p : r.problems) {
        if (p.line < line || p.line > lines || p.message.empty() ||
            p.to_string().find_first_of("\r\n") != std::string::npos) {
            INFO(text);
            FAIL("a bad problem: " << p.to_string());
        }
        line = p.line;
    }
    return static_cast<bool>(r);
}

TEST_CASE("no damage to a configuration makes loading throw, crash or lose the order of problems")
{
    const std::string original = read_file(SOURCE_DIR "/conf/lb.yaml");
    // The comments are most of the text: without them the damage hits something.
    std::string bare;
    for (std::size_t at = 0; at < original.size();) {
        const auto end = original.find('\n', at) + 1;
        const std::string line = original.substr(at, end - at);
        if (const auto first = line.find_first_not_of(' '); line[first] != '#' || line[first + 1] != ' ') {
            bare +=
                line[first] == '#' && line[first + 1] != '\n' ? line.substr(0, first) + line.substr(first + 1) : line;
        }
        at = end;
    }
    std::mt19937 random{20260101};
    int loaded = 0;
    for (int i = 0; i < 2000; ++i) {
        loaded += survives(damaged(i % 2 == 0 ? original : bare, random)) ? 1 : 0;
    }
    // Both outcomes were met: the damage is neither harmless nor always fatal.
    CHECK(loaded > 100);
    CHECK(loaded < 1900);
}

TEST_CASE("no single line can be left out or cut short in a way that makes loading throw")
{
    const std::string original = testing::minimal();
    for (std::size_t at = 0; at <= original.size(); ++at) {
        survives(original.substr(0, at));
        survives(original.substr(at));
    }
}

TEST_CASE("deep nesting and many mistakes are only problems")
{
    for (const std::string_view open : {"[", "{", "- ", "? ", "a: {", "&a ["}) {
        std::string text;
        for (int i = 0; i < 20'000; ++i) {
            text += open;
        }
        CHECK_FALSE(survives(text));
    }
    std::string many;
    for (int i = 0; i < 20'000; ++i) {
        many += "key" + std::to_string(i) + ": 1\n";
    }
    CHECK(parse(many, "f").problems.size() == 20'002);
}

}  // namespace
}  // namespace buildkit_lb::config
