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

}  // namespace

std::string raw_preface()
{
    return std::string{preface} + frame(4, 0, 0, "");
}

std::string raw_request(std::uint32_t stream, std::string_view path)
{
    const std::string block = literal(":method", "POST") + literal(":scheme", "http") + literal(":path", path) +
                              literal(":authority", "localhost") + literal("te", "trailers") +
                              literal("content-type", "application/grpc");
    constexpr int end_headers = 4;
    return frame(1, end_headers, stream, block);
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
