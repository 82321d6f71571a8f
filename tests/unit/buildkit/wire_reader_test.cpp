#include "buildkit/wire_reader.hpp"

#include <catch2/catch.hpp>
#include <string>

using namespace buildkit_lb::buildkit;

namespace {

/// True if the reader walks over all of `bytes` without a fault.
bool well_formed(const std::string& bytes)
{
    wire_reader fields{bytes};
    while (fields.next()) {
    }
    return !fields.malformed();
}

}  // namespace

TEST_CASE("fields of every wire type are walked over")
{
    // 1: varint 300, 2: bytes "hi", 3: fixed32, 4: fixed64, 100: varint 1
    const std::string bytes{"\x08\xac\x02\x12\x02hi\x1d\1\2\3\4\x21\1\2\3\4\5\6\7\x08\xa0\x06\x01", 24};
    wire_reader fields{bytes};
    REQUIRE(fields.next());
    CHECK(fields.number() == 1);
    CHECK(fields.varint() == 300);
    REQUIRE(fields.next());
    CHECK(fields.number() == 2);
    CHECK(fields.bytes() == "hi");
    REQUIRE(fields.next());
    CHECK(fields.number() == 3);
    CHECK(fields.wire_type() == wire_reader::type::fixed32);
    REQUIRE(fields.next());
    CHECK(fields.number() == 4);
    CHECK(fields.wire_type() == wire_reader::type::fixed64);
    REQUIRE(fields.next());
    CHECK(fields.number() == 100);
    CHECK(fields.boolean());
    CHECK_FALSE(fields.next());
    CHECK_FALSE(fields.malformed());
}

TEST_CASE("an empty message has no field and no fault")
{
    CHECK(well_formed(""));
}

TEST_CASE("cut and impossible fields are malformed")
{
    CHECK_FALSE(well_formed("\x08"));                                          // no value
    CHECK_FALSE(well_formed("\x08\xff"));                                      // varint without end
    CHECK_FALSE(well_formed("\x12\x03hi"));                                    // longer than the message
    CHECK_FALSE(well_formed("\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"));  // length of 64 bits
    CHECK_FALSE(well_formed("\x1d\1\2\3"));                                    // fixed32 of three bytes
    CHECK_FALSE(well_formed("\x21\1\2\3\4\5\6\7"));                            // fixed64 of seven
    CHECK_FALSE(well_formed(std::string("\0\0", 2)));                          // field 0
    CHECK_FALSE(well_formed("\x0b\x0c"));                                      // a group
    CHECK_FALSE(well_formed("\x0e"));                                          // wire type 6
    CHECK_FALSE(well_formed("\x88\x80\x80\x80\x80\x80\x80\x80\x01\x01"));      // a tag over 32 bits
    CHECK_FALSE(well_formed("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"));  // a varint over 64 bits
    CHECK(well_formed("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"));        // the largest one
}

TEST_CASE("a field of the wrong wire type makes the message malformed and stops the walk")
{
    wire_reader text{std::string_view{"\x08\x01\x08\x01"}};
    REQUIRE(text.next());
    CHECK(text.bytes().empty());
    CHECK(text.malformed());
    CHECK_FALSE(text.next());

    wire_reader number{std::string_view{"\x12\x02hi"}};
    REQUIRE(number.next());
    CHECK(number.varint() == 0);
    CHECK(number.malformed());
}

TEST_CASE("a map entry may lack its key or its value, and the last of each counts")
{
    std::string_view key;
    std::string_view value;
    REQUIRE(read_map_entry("\x0a\x01k\x12\x01v", key, value));
    CHECK(key == "k");
    CHECK(value == "v");
    REQUIRE(read_map_entry("\x12\x01v", key, value));
    CHECK(key.empty());
    REQUIRE(read_map_entry("\x0a\x01k\x0a\x01l", key, value));
    CHECK(key == "l");
    CHECK(value.empty());
    CHECK_FALSE(read_map_entry("\x0a\x05k", key, value));
}

TEST_CASE("the raw fields of a message are the message")
{
    const std::string message{
        "\x08\x96\x01\x12\x03"
        "abc\x1d"
        "1234\x21"
        "12345678",
        22};
    wire_reader fields{message};
    std::string copy;
    while (fields.next()) {
        copy += fields.raw();
    }
    CHECK_FALSE(fields.malformed());
    CHECK(copy == message);
    CHECK(fields.raw().empty());
}
