#include "buildkit/inflate.hpp"

#include <algorithm>
#include <array>
#include <climits>
#include <utility>
#include <zlib.h>

namespace buildkit_lb::buildkit {
namespace {

// 15 bits of window and zlib's flag for "gzip or zlib, see the header".
constexpr int any_header = 15 + 32;

struct inflater {
    z_stream stream{};
    bool ready = inflateInit2(&stream, any_header) == Z_OK;

    inflater() = default;
    inflater(const inflater&) = delete;
    inflater& operator=(const inflater&) = delete;
    ~inflater()
    {
        if (ready) {
            inflateEnd(&stream);
        }
    }
};

}  // namespace

result<std::string> inflate(std::string_view compressed, failure_source side, std::size_t max)
{
    const auto broken = [side] { return failure{errc::protocol, side, false, "a compressed gRPC message is broken"}; };
    inflater z;
    if (!z.ready) {
        return failure{errc::internal, failure_source::internal, false, "zlib has no memory"};
    }
    if (compressed.empty() || compressed.size() > UINT_MAX) {
        return broken();
    }
    // zlib's input pointer is not const in every version, but it writes nothing there.
    z.stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(compressed.data()));
    z.stream.avail_in = static_cast<uInt>(compressed.size());
    std::string out;
    std::array<char, 32 * 1024> block;
    for (;;) {
        z.stream.next_out = reinterpret_cast<Bytef*>(block.data());
        z.stream.avail_out = static_cast<uInt>(block.size());
        const int code = ::inflate(&z.stream, Z_NO_FLUSH);
        const std::size_t made = block.size() - z.stream.avail_out;
        if (made > max - out.size()) {
            return failure{errc::too_large, side, false,
                           "a compressed gRPC message of more than " + std::to_string(max) + " bytes"};
        }
        out.append(block.data(), made);
        if (code == Z_STREAM_END) {
            if (z.stream.avail_in == 0) {
                return out;
            }
            if (inflateReset(&z.stream) != Z_OK) {  // another member follows
                return broken();
            }
        } else if (code != Z_OK) {  // also Z_BUF_ERROR: the input ends before the stream does
            return broken();
        }
    }
}

result<std::string> readable(grpc_message message, failure_source side, std::size_t max)
{
    if (!message.compressed) {
        return std::move(message.payload);
    }
    return inflate(message.payload, side, max);
}

}  // namespace buildkit_lb::buildkit
