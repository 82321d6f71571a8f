#include "buildkit/wire_reader.hpp"

namespace buildkit_lb::buildkit {

bool wire_reader::fail()
{
    malformed_ = true;
    rest_ = {};
    bytes_ = {};
    varint_ = 0;
    return false;
}

bool wire_reader::read_varint(std::uint64_t& value)
{
    value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (rest_.empty()) {
            return false;
        }
        const auto byte = static_cast<unsigned char>(rest_.front());
        rest_.remove_prefix(1);
        if (shift == 63 && byte > 1) {
            return false;
        }
        value |= std::uint64_t{byte & 0x7fU} << shift;
        if ((byte & 0x80U) == 0) {
            return true;
        }
    }
    return false;
}

bool wire_reader::next()
{
    const std::string_view before = rest_;
    if (malformed_ || rest_.empty() || !read_field()) {
        raw_ = {};
        return false;
    }
    raw_ = before.substr(0, before.size() - rest_.size());
    return true;
}

bool wire_reader::read_field()
{
    bytes_ = {};
    varint_ = 0;
    std::uint64_t tag = 0;
    if (!read_varint(tag) || tag > UINT32_MAX || tag >> 3U == 0) {
        return fail();
    }
    number_ = static_cast<std::uint32_t>(tag >> 3U);
    std::uint64_t length = 0;
    switch (tag & 7U) {
        case 0: type_ = type::varint; return read_varint(varint_) || fail();
        case 1:
            type_ = type::fixed64;
            length = 8;
            break;
        case 2:
            type_ = type::bytes;
            if (!read_varint(length)) {
                return fail();
            }
            break;
        case 5:
            type_ = type::fixed32;
            length = 4;
            break;
        default: return fail();
    }
    if (length > rest_.size()) {
        return fail();
    }
    bytes_ = rest_.substr(0, length);
    rest_.remove_prefix(length);
    return true;
}

std::string_view wire_reader::bytes()
{
    if (type_ != type::bytes) {
        fail();
    }
    return bytes_;
}

std::uint64_t wire_reader::varint()
{
    if (type_ != type::varint) {
        fail();
    }
    return varint_;
}

bool read_map_entry(std::string_view entry, std::string_view& key, std::string_view& value)
{
    key = {};
    value = {};
    wire_reader fields{entry};
    while (fields.next()) {
        if (fields.number() == 1) {
            key = fields.bytes();
        } else if (fields.number() == 2) {
            value = fields.bytes();
        }
    }
    return !fields.malformed();
}

}  // namespace buildkit_lb::buildkit
