#include "buildkit/grpc_status.hpp"

#include <array>
#include <cstddef>

namespace buildkit_lb::buildkit {
namespace {

struct code_text {
    std::string_view name;
    std::string_view value;
};

constexpr std::array<code_text, 17> codes{{
    {"OK", "0"},
    {"CANCELLED", "1"},
    {"UNKNOWN", "2"},
    {"INVALID_ARGUMENT", "3"},
    {"DEADLINE_EXCEEDED", "4"},
    {"NOT_FOUND", "5"},
    {"ALREADY_EXISTS", "6"},
    {"PERMISSION_DENIED", "7"},
    {"RESOURCE_EXHAUSTED", "8"},
    {"FAILED_PRECONDITION", "9"},
    {"ABORTED", "10"},
    {"OUT_OF_RANGE", "11"},
    {"UNIMPLEMENTED", "12"},
    {"INTERNAL", "13"},
    {"UNAVAILABLE", "14"},
    {"DATA_LOSS", "15"},
    {"UNAUTHENTICATED", "16"},
}};

const code_text& text_of(grpc_code code)
{
    const auto index = static_cast<std::size_t>(code);
    return codes[index < codes.size() ? index : static_cast<std::size_t>(grpc_code::unknown)];
}

int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }
    return -1;
}

}  // namespace

std::string_view name(grpc_code code)
{
    return text_of(code).name;
}

std::string_view grpc_status_value(grpc_code code)
{
    return text_of(code).value;
}

grpc_code parse_grpc_status(std::string_view value)
{
    for (std::size_t i = 0; i < codes.size(); ++i) {
        if (codes[i].value == value) {
            return static_cast<grpc_code>(i);
        }
    }
    return grpc_code::unknown;
}

std::string percent_encode(std::string_view message)
{
    constexpr std::string_view digits = "0123456789ABCDEF";
    std::string out;
    out.reserve(message.size());
    for (const char c : message) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte >= 0x20 && byte <= 0x7e && c != '%') {
            out += c;
        } else {
            out += '%';
            out += digits[byte >> 4U];
            out += digits[byte & 0xfU];
        }
    }
    return out;
}

std::string percent_decode(std::string_view value)
{
    std::string out;
    out.reserve(value.size());
    for (std::size_t i = 0; i < value.size(); ++i) {
        if (value[i] == '%' && i + 2 < value.size()) {
            const int high = hex_value(value[i + 1]);
            const int low = hex_value(value[i + 2]);
            if (high >= 0 && low >= 0) {
                out += static_cast<char>(high * 16 + low);
                i += 2;
                continue;
            }
        }
        out += value[i];
    }
    return out;
}

}  // namespace buildkit_lb::buildkit
