#include "http2/huffman.hpp"

#include <array>
#include <cstdint>

namespace buildkit_lb::http2 {
namespace {

constexpr std::size_t symbols = 257;  // all bytes and EOS
constexpr unsigned shortest = 5;
constexpr unsigned longest = 30;
constexpr unsigned quick_bits = 9;

/// Lengths of the codes of all bytes and of EOS, in bits. The code is canonical: codes are numbered upwards in order
/// of length, then of symbol, so that its lengths are all there is to know.
constexpr std::array<std::uint8_t, symbols> code_lengths = {
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,  // 0x00
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,  // 0x10
    6,  10, 10, 12, 13, 6,  8,  11, 10, 10, 8,  11, 8,  6,  6,  6,   // 0x20
    5,  5,  5,  6,  6,  6,  6,  6,  6,  6,  7,  8,  15, 6,  12, 10,  // 0x30
    13, 6,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,   // 0x40
    7,  7,  7,  7,  7,  7,  7,  7,  8,  7,  8,  13, 19, 13, 14, 6,   // 0x50
    15, 5,  6,  5,  6,  5,  6,  6,  6,  5,  7,  7,  6,  6,  6,  5,   // 0x60
    6,  7,  6,  5,  5,  6,  7,  7,  7,  7,  7,  15, 11, 14, 13, 28,  // 0x70
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,  // 0x80
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,  // 0x90
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,  // 0xa0
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,  // 0xb0
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,  // 0xc0
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,  // 0xd0
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,  // 0xe0
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,  // 0xf0
    30};

struct tables {
    /// The symbol of each code of up to quick_bits, under every way the following bits can be; length 0: a longer one.
    struct entry {
        std::uint8_t symbol;
        std::uint8_t length;
    };
    std::array<entry, 1U << quick_bits> quick{};
    /// For each length: the number after its last code, and what to add to a code to find its symbol in `ordered`.
    std::array<std::uint32_t, longest + 1> past{};
    std::array<std::int32_t, longest + 1> shift{};
    std::array<std::uint16_t, symbols> ordered{};
};

constexpr tables make_tables()
{
    tables t;
    std::uint32_t code = 0;
    std::uint32_t position = 0;
    for (unsigned length = shortest; length <= longest; ++length) {
        code <<= 1;
        t.shift[length] = static_cast<std::int32_t>(position) - static_cast<std::int32_t>(code);
        for (std::size_t symbol = 0; symbol < symbols; ++symbol) {
            if (code_lengths[symbol] != length) {
                continue;
            }
            t.ordered[position++] = static_cast<std::uint16_t>(symbol);
            if (length <= quick_bits) {
                const std::uint32_t first = code << (quick_bits - length);
                for (std::uint32_t i = 0; i < (1U << (quick_bits - length)); ++i) {
                    t.quick[first + i] = {static_cast<std::uint8_t>(symbol), static_cast<std::uint8_t>(length)};
                }
            }
            ++code;
        }
        t.past[length] = code;
    }
    return t;
}

constexpr tables code_tables = make_tables();

}  // namespace

bool huffman_decode(std::span<const std::byte> in, std::string& out)
{
    std::uint64_t window = 0;  // the next bits are the lowest `held` ones
    unsigned held = 0;
    std::size_t at = 0;
    const auto first_bits = [&](unsigned count) {
        return static_cast<std::uint32_t>((window >> (held - count)) & ((std::uint64_t{1} << count) - 1));
    };
    for (;;) {
        while (held <= 56 && at < in.size()) {
            window = window << 8 | std::to_integer<std::uint64_t>(in[at++]);
            held += 8;
        }
        if (held >= quick_bits) {
            const auto quick = code_tables.quick[first_bits(quick_bits)];
            if (quick.length != 0) {
                out.push_back(static_cast<char>(quick.symbol));
                held -= quick.length;
                continue;
            }
        }
        unsigned length = shortest;
        while (length <= longest && length <= held && first_bits(length) >= code_tables.past[length]) {
            ++length;
        }
        if (length > longest || length > held) {
            // The input is used up: any 30 bits hold a code. What is left is padding, or a code cut short.
            return held < 8 && first_bits(held) == (1U << held) - 1;
        }
        const auto code = static_cast<std::int32_t>(first_bits(length));
        const std::uint16_t symbol = code_tables.ordered[static_cast<std::size_t>(code + code_tables.shift[length])];
        if (symbol > 255) {
            return false;
        }
        out.push_back(static_cast<char>(symbol));
        held -= length;
    }
}

}  // namespace buildkit_lb::http2
