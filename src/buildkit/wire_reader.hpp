#pragma once

#include <cstdint>
#include <string_view>

namespace buildkit_lb::buildkit {

/// Walks over the fields of one serialized protobuf message in place: no copies, no allocation, no recursion.
///
/// For bytes of clients nobody vouches for: generated classes would turn 16 MiB of empty sub-messages into a gigabyte
/// of objects. Field numbers come from the generated classes of wire/*.proto. Groups are not accepted: BuildKit has
/// none. A value type over the caller's bytes; any thread.
class wire_reader {
public:
    enum class type : std::uint8_t { varint = 0, fixed64 = 1, bytes = 2, fixed32 = 5 };

    explicit wire_reader(std::string_view message) : rest_{message} {}

    /// Steps to the next field. False at the end and at the first malformed byte: then look at malformed().
    bool next();
    bool malformed() const { return malformed_; }

    std::uint32_t number() const { return number_; }
    type wire_type() const { return type_; }

    /// The current field as it stands in the message, its tag included.
    std::string_view raw() const { return raw_; }

    /// The value of the current field. A field of another wire type than the one asked for makes the message
    /// malformed, and the value empty.
    std::string_view bytes();
    std::uint64_t varint();
    bool boolean() { return varint() != 0; }

private:
    bool fail();
    bool read_field();
    bool read_varint(std::uint64_t& value);

    std::string_view rest_;
    std::uint32_t number_ = 0;
    type type_ = type::varint;
    std::string_view raw_;
    std::string_view bytes_;
    std::uint64_t varint_ = 0;
    bool malformed_ = false;
};

/// One entry of a map<string, X>: key and value are fields 1 and 2. False when malformed.
bool read_map_entry(std::string_view entry, std::string_view& key, std::string_view& value);

}  // namespace buildkit_lb::buildkit
