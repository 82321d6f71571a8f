#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace buildkit_lb::fuzz {

/// Takes decisions and texts off the front of a fuzz input. Beyond its end everything is zero and empty. Reads from the
/// front only, so that seeds can be written by hand (make_seeds.py).
class fuzz_input {
public:
    explicit fuzz_input(std::string_view bytes) : rest_{bytes} {}

    bool empty() const { return rest_.empty(); }

    std::uint8_t byte()
    {
        const std::string_view one = take(1);
        return one.empty() ? std::uint8_t{0} : static_cast<std::uint8_t>(one.front());
    }

    /// A number from 0 to `bound` - 1; `bound` is 256 at most.
    std::size_t below(std::size_t bound) { return byte() % bound; }

    /// Big endian, of `bytes` bytes.
    std::uint32_t number(std::size_t bytes)
    {
        std::uint32_t value = 0;
        for (std::size_t i = 0; i < bytes; ++i) {
            value = value << 8U | byte();
        }
        return value;
    }

    std::string_view take(std::size_t count)
    {
        const std::string_view taken = rest_.substr(0, count);
        rest_.remove_prefix(taken.size());
        return taken;
    }

    /// A text with its length, one byte, before it.
    std::string_view piece() { return take(byte()); }
    /// The same with two bytes.
    std::string_view long_piece() { return take(number(2)); }

    std::string_view rest() { return take(rest_.size()); }

private:
    std::string_view rest_;
};

}  // namespace buildkit_lb::fuzz
