#include "support/raw_frames.hpp"

namespace buildkit_lb::test {
namespace {

constexpr std::size_t frame_header_size = 9;
constexpr int type_goaway = 7;

std::size_t number(std::string_view bytes)
{
    std::size_t value = 0;
    for (const char c : bytes) {
        value = value << 8 | static_cast<unsigned char>(c);
    }
    return value;
}

/// A field that enters no table, of less than 127 bytes each.
std::string literal(std::string_view name, std::string_view value)
{
    std::string field(1, '\0');
    field += static_cast<char>(name.size());
    field += name;
    field += static_cast<char>(value.size());
    return field += value;
}

}  // namespace

std::string raw_frame(int type, int flags, std::uint32_t stream, std::string_view payload)
{
    std::string frame;
    const auto push = [&](std::size_t v) { frame.push_back(static_cast<char>(v & 0xff)); };
    push(payload.size() >> 16);
    push(payload.size() >> 8);
    push(payload.size());
    push(static_cast<std::size_t>(type));
    push(static_cast<std::size_t>(flags));
    push(stream >> 24);
    push(stream >> 16);
    push(stream >> 8);
    push(stream);
    return frame.append(payload);
}

std::string raw_preface()
{
    return "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + raw_frame(4, 0, 0, "");
}

std::string raw_request(std::uint32_t stream, std::string_view path)
{
    const std::string block = literal(":method", "POST") + literal(":scheme", "http") + literal(":path", path) +
                              literal(":authority", "localhost") + literal("te", "trailers") +
                              literal("content-type", "application/grpc");
    constexpr int end_headers = 4;
    return raw_frame(1, end_headers, stream, block);
}

int goaway_code(peer& from)
{
    for (;;) {
        const std::string header = from.receive(frame_header_size);
        if (header.size() < frame_header_size) {
            return -1;
        }
        const std::string payload = from.receive(number(std::string_view{header}.substr(0, 3)));
        if (header[3] == type_goaway && payload.size() >= 8) {
            return static_cast<int>(number(std::string_view{payload}.substr(4, 4)));
        }
    }
}

}  // namespace buildkit_lb::test
