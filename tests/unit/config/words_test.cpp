#include "config/words.hpp"

#include <array>
#include <catch2/catch.hpp>

namespace buildkit_lb::config {
namespace {

TEST_CASE("the edit distance counts insertions, removals, replacements and swaps")
{
    CHECK(edit_distance("", "") == 0);
    CHECK(edit_distance("abc", "") == 3);
    CHECK(edit_distance("", "abc") == 3);
    CHECK(edit_distance("weight", "weight") == 0);
    CHECK(edit_distance("weight", "wieght") == 1);
    CHECK(edit_distance("weight", "weigth") == 1);
    CHECK(edit_distance("weight", "weigt") == 1);
    CHECK(edit_distance("weight", "weights") == 1);
    CHECK(edit_distance("kitten", "sitting") == 3);
}

TEST_CASE("only a word that is near is suggested, and the nearest of them")
{
    constexpr std::array<std::string_view, 4> words{"name", "address", "max_builds", "max_connections"};
    CHECK(nearest("nmae", words) == "name");
    CHECK(nearest("adress", words) == "address");
    CHECK(nearest("max-builds", words) == "max_builds");
    CHECK(nearest("maxconnections", words) == "max_connections");
    CHECK(nearest("colour", words).empty());
    CHECK(nearest("x", words).empty());
    CHECK(nearest("", words).empty());
    CHECK(nearest("name", words).empty());
    CHECK(nearest(std::string(100'000, 'a'), words).empty());
    CHECK(suggestion("nmae", words) == " (did you mean 'name'?)");
    CHECK(suggestion("colour", words).empty());
}

TEST_CASE("lists read like a sentence")
{
    constexpr std::array<std::string_view, 3> words{"a", "b", "c"};
    CHECK(joined({}).empty());
    CHECK(joined({words.data(), 1}) == "a");
    CHECK(joined({words.data(), 2}) == "a or b");
    CHECK(joined(words) == "a, b or c");
}

TEST_CASE("a quoted text is short and on one line")
{
    CHECK(in_quotes("a b") == "'a b'");
    CHECK(in_quotes("a\nb\x01\x7f") ==
          "'a?b?"
          "?'");
    CHECK(in_quotes(std::string(61, 'x')) == "'" + std::string(60, 'x') + "…'");
}

}  // namespace
}  // namespace buildkit_lb::config
