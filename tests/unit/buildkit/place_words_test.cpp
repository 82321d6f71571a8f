#include "buildkit/place_words.hpp"

#include <catch2/catch.hpp>

using buildkit_lb::buildkit::place_words;
using buildkit_lb::buildkit::printable;

TEST_CASE("the words for a place name the policy, its reason, the key and where the key is from")
{
    const auto words = [](std::string_view reason) {
        return place_words("cache-affinity", reason, "example.test/team/app", "vcs:source");
    };
    CHECK(words("home") == "cache-affinity: home of example.test/team/app, from vcs:source");
    CHECK(words("warm") == "cache-affinity: warm for example.test/team/app, from vcs:source");
    CHECK(words("spill") == "cache-affinity: spill of example.test/team/app, from vcs:source");
    CHECK(words("new") == "cache-affinity: new key example.test/team/app, from vcs:source");
}

TEST_CASE("a policy that does not look at keys says its name, a build without a key says so")
{
    CHECK(place_words("least-active-builds", "least-active", "app", "context") == "least-active-builds");
    CHECK(place_words("round-robin", "next", "app", "context") == "round-robin");
    CHECK(place_words("cache-affinity", "no-key", "", "") == "cache-affinity: no key");
    CHECK(place_words("cache-affinity", "home", "", "") == "cache-affinity");
    CHECK(place_words("cache-affinity", "home", "app", "") == "cache-affinity: home of app");
}

TEST_CASE("what a client puts into a key can't write to another terminal than a text")
{
    CHECK(place_words("cache-affinity", "home", "a\x1b[2J\nb", "build-arg:X\r") ==
          "cache-affinity: home of a?[2J?b, from build-arg:X?");
    const std::string long_key(600, 'k');
    CHECK(place_words("cache-affinity", "home", long_key, "context") ==
          "cache-affinity: home of " + std::string(100, 'k') + "…, from context");
}

TEST_CASE("printable keeps letters of any alphabet and replaces what can't be shown")
{
    CHECK(printable("größe/ナイト/🚀", 100) == "größe/ナイト/🚀");
    CHECK(printable("a\tb\x7f", 100) == "a?b?");
    CHECK(printable("a\xc2\x9b"
                    "31mb",
                    100) == "a?31mb");  // the C1 form of ESC [
    CHECK(printable("a\xe2\x80\xae"
                    "b",
                    100) == "a?b");  // right-to-left override
    CHECK(printable("a\xe2\x80\xa8"
                    "b",
                    100) == "a?b");                       // line separator
    CHECK(printable("\xff\xfe", 100) == "??");            // no UTF-8
    CHECK(printable("\xc0\xaf", 100) == "??");            // overlong
    CHECK(printable("\xe0\x80\xaf", 100) == "???");       // overlong
    CHECK(printable("\xed\xa0\x80", 100) == "???");       // a surrogate
    CHECK(printable("\xf4\x90\x80\x80", 100) == "????");  // above the last character
    CHECK(printable("a\xe3\x83", 100) == "a??");          // cut off
    CHECK(printable(std::string_view{"a\0b", 3}, 100) == "a?b");
    CHECK(printable("ナイト", 3) == "ナイト");
    CHECK(printable("ナイト", 2) == "ナイ…");
    CHECK(printable("", 0).empty());
}
