#pragma once

#include <stdexcept>
#include <string>
#include <zlib.h>

namespace buildkit_lb::test {

inline constexpr int gzip = 31;
inline constexpr int zlib = 15;

/// Compresses as gzip or zlib. `window` is one of them.
inline std::string deflated(std::string text, int window)
{
    z_stream stream{};
    if (deflateInit2(&stream, Z_BEST_COMPRESSION, Z_DEFLATED, window, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
        throw std::runtime_error{"deflateInit2"};
    }
    std::string out(deflateBound(&stream, text.size()), '\0');
    stream.next_in = reinterpret_cast<Bytef*>(text.data());
    stream.avail_in = static_cast<uInt>(text.size());
    stream.next_out = reinterpret_cast<Bytef*>(out.data());
    stream.avail_out = static_cast<uInt>(out.size());
    const int end = deflate(&stream, Z_FINISH);
    out.resize(stream.total_out);
    deflateEnd(&stream);
    if (end != Z_STREAM_END) {
        throw std::runtime_error{"deflate"};
    }
    return out;
}

}  // namespace buildkit_lb::test
