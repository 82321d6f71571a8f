#include "http2/header_list.hpp"

#include <catch2/catch.hpp>

using namespace buildkit_lb::http2;

TEST_CASE("A header list finds, replaces and removes fields and keeps the others in order")
{
    header_list list{{":status", "200"}, {"a", "1"}, {"b", ""}, {"a", "2"}};
    CHECK(list.size() == 4);
    CHECK(list.find("a") == "1");
    CHECK(list.find("b") == "");
    CHECK_FALSE(list.find("c"));
    CHECK(list.get("c").empty());
    list.set("a", "a longer value");
    list.set("c", list.get("a"));
    CHECK(list ==
          header_list{{":status", "200"}, {"a", "a longer value"}, {"b", ""}, {"a", "2"}, {"c", "a longer value"}});
    CHECK(list.erase("a") == 2);
    CHECK(list == header_list{{":status", "200"}, {"b", ""}, {"c", "a longer value"}});
    CHECK_FALSE(list == header_list{{":status", "200"}, {"b", ""}, {"c", "x"}});
}

TEST_CASE("The size of a header list is what the protocol counts")
{
    CHECK(header_list{}.wire_size() == 0);
    CHECK(header_list{{"ab", "cde"}, {"f", ""}}.wire_size() == 5 + 32 + 1 + 32);
}
