#include "http2/large_headers.hpp"

#include <charconv>
#include <random>

#include "http2/huffman.hpp"

namespace buildkit_lb::http2 {
namespace {

/// Strings shorter than this on the wire can't be as long as the table: a character takes at least five bits.
constexpr std::size_t least_encoded = large_values::table_size * 5 / 8;

constexpr std::uint8_t indexed = 0x80;
constexpr std::uint8_t incremental = 0x40;
constexpr std::uint8_t size_update = 0x20;
constexpr std::uint8_t huffman_flag = 0x80;

/// Reads the parts of a header block, without knowing what they mean to the table.
class reader {
public:
    explicit reader(std::span<const std::byte> in) : in_{in} {}

    bool done() const { return at_ == in_.size(); }
    std::size_t position() const { return at_; }
    std::uint8_t peek() const { return std::to_integer<std::uint8_t>(in_[at_]); }

    /// An integer with a prefix of `bits` bits (section 5.1).
    bool integer(unsigned bits, std::size_t& out)
    {
        if (done()) {
            return false;
        }
        const std::size_t most = (std::size_t{1} << bits) - 1;
        out = peek() & most;
        ++at_;
        if (out < most) {
            return true;
        }
        for (unsigned shift = 0; shift <= 28 && !done(); shift += 7) {
            const std::uint8_t byte = peek();
            ++at_;
            out += static_cast<std::size_t>(byte & 0x7f) << shift;
            if ((byte & 0x80) == 0) {
                return true;
            }
        }
        return false;
    }

    /// A string literal (section 5.2): where its bytes are, and whether they are Huffman-coded.
    bool string(std::span<const std::byte>& bytes, bool& coded)
    {
        if (done()) {
            return false;
        }
        coded = (peek() & huffman_flag) != 0;
        std::size_t length = 0;
        if (!integer(7, length) || length > in_.size() - at_) {
            return false;
        }
        bytes = in_.subspan(at_, length);
        at_ += length;
        return true;
    }

private:
    std::span<const std::byte> in_;
    std::size_t at_ = 0;
};

void append_integer(std::vector<std::byte>& out, std::uint8_t flags, unsigned bits, std::size_t value)
{
    const std::size_t most = (std::size_t{1} << bits) - 1;
    if (value < most) {
        out.push_back(static_cast<std::byte>(flags | value));
        return;
    }
    out.push_back(static_cast<std::byte>(flags | most));
    for (value -= most; value >= 0x80; value >>= 7) {
        out.push_back(static_cast<std::byte>(0x80 | (value & 0x7f)));
    }
    out.push_back(static_cast<std::byte>(value));
}

void append_string(std::vector<std::byte>& out, std::string_view text)
{
    append_integer(out, 0, 7, text.size());
    const auto bytes = std::as_bytes(std::span{text.data(), text.size()});
    out.insert(out.end(), bytes.begin(), bytes.end());
}

void append(std::vector<std::byte>& out, std::span<const std::byte> bytes)
{
    out.insert(out.end(), bytes.begin(), bytes.end());
}

/// The value's text if it is long enough to be cut out.
bool decode_large(std::span<const std::byte> bytes, bool coded, std::string& text)
{
    if (bytes.size() < least_encoded) {
        return false;
    }
    if (!coded) {
        if (bytes.size() < large_values::table_size) {
            return false;
        }
        text.assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
        return true;
    }
    text.clear();
    text.reserve(bytes.size() * 3 / 2);
    return huffman_decode(bytes, text) && text.size() >= large_values::table_size;
}

}  // namespace

large_values::large_values(std::size_t most) : most_{most}
{
    static thread_local std::mt19937_64 random{(std::uint64_t{std::random_device{}()} << 32) | std::random_device{}()};
    static constexpr std::string_view digits = "0123456789abcdef";
    for (int word = 0; word < 2; ++word) {
        for (std::uint64_t bits = random(), i = 0; i < 16; ++i, bits >>= 4) {
            token_.push_back(digits[bits & 0xf]);
        }
    }
}

void large_values::clear()
{
    values_.clear();
    kept_ = 0;
    count_ = 0;
}

std::string large_values::placeholder(char first, std::size_t least) const
{
    // The decoder checks values of some fields: keep the first character (":path" starts with a slash) and go on with
    // what is fine everywhere.
    std::string text{first};
    text += token_;
    text += std::to_string(count_);
    if (text.size() < least) {
        text += 'x';
        text.resize(least, '0');
    }
    return text;
}

bool large_values::cut(std::span<const std::byte> block, std::vector<std::byte>& rewritten)
{
    clear();
    rewritten.clear();
    reader in{block};
    std::size_t copied = 0;  // bytes of `block` that are in `rewritten` already
    bool table_empty = false;
    std::string text;
    while (!in.done()) {
        const std::size_t start = in.position();
        const std::uint8_t kind = in.peek();
        std::size_t index = 0;
        if ((kind & indexed) != 0) {
            if (!in.integer(7, index)) {
                return false;
            }
            continue;
        }
        if ((kind & (incremental | size_update)) == size_update) {
            if (!in.integer(5, index)) {
                return false;
            }
            continue;
        }
        const bool enters_table = (kind & incremental) != 0;
        if (!in.integer(enters_table ? 6 : 4, index)) {
            return false;
        }
        const std::size_t name_start = in.position();
        std::span<const std::byte> bytes;
        bool coded = false;
        if (index == 0 && !in.string(bytes, coded)) {
            return false;
        }
        const std::size_t value_start = in.position();
        if (!in.string(bytes, coded)) {
            return false;
        }
        if (!decode_large(bytes, coded, text)) {
            table_empty = table_empty && !enters_table;
            continue;
        }
        append(rewritten, block.subspan(copied, start - copied));
        if (enters_table && table_empty) {
            // The same literal without indexing.
            append_integer(rewritten, 0, 4, index);
            append(rewritten, block.subspan(name_start, value_start - name_start));
            append_string(rewritten, placeholder(text.front(), 0));
        } else {
            append(rewritten, block.subspan(start, value_start - start));
            append_string(rewritten, placeholder(text.front(), enters_table ? table_size : 0));
        }
        table_empty = table_empty || enters_table;
        copied = in.position();
        ++count_;
        if (text.size() > most_ - kept_) {
            values_.emplace_back();
        } else {
            kept_ += text.size();
            values_.push_back(std::move(text));
        }
    }
    append(rewritten, block.subspan(copied));
    return count_ > 0;
}

std::optional<large_values::found> large_values::find(std::string_view text) const
{
    if (count_ == 0 || text.size() <= token_.size() + 1 || text.substr(1, token_.size()) != token_) {
        return std::nullopt;
    }
    const std::string_view number = text.substr(1 + token_.size());
    std::size_t index = 0;
    std::from_chars(number.data(), number.data() + number.size(), index);
    if (index >= values_.size()) {
        return std::nullopt;
    }
    return found{values_[index], values_[index].empty()};
}

}  // namespace buildkit_lb::http2
