#include "http2/large_headers.hpp"

#include <catch2/catch.hpp>
#include <memory>
#include <nghttp2/nghttp2.h>
#include <random>

#include "http2/huffman.hpp"

using namespace buildkit_lb::http2;

namespace {

using fields = std::vector<std::pair<std::string, std::string>>;
using bytes = std::vector<std::byte>;

/// nghttp2's HPACK encoder.
class encoder {
public:
    encoder() { nghttp2_hd_deflate_new(&deflater_, 4096); }
    encoder(const encoder&) = delete;
    encoder& operator=(const encoder&) = delete;
    ~encoder() { nghttp2_hd_deflate_del(deflater_); }

    bytes encode(const fields& list)
    {
        std::vector<nghttp2_nv> nva;
        for (const auto& [name, value] : list) {
            nva.push_back({reinterpret_cast<std::uint8_t*>(const_cast<char*>(name.data())),
                           reinterpret_cast<std::uint8_t*>(const_cast<char*>(value.data())), name.size(), value.size(),
                           NGHTTP2_NV_FLAG_NONE});
        }
        bytes out(nghttp2_hd_deflate_bound(deflater_, nva.data(), nva.size()));
        const ssize_t size = nghttp2_hd_deflate_hd(deflater_, reinterpret_cast<std::uint8_t*>(out.data()), out.size(),
                                                   nva.data(), nva.size());
        REQUIRE(size >= 0);
        out.resize(static_cast<std::size_t>(size));
        return out;
    }

private:
    nghttp2_hd_deflater* deflater_ = nullptr;
};

/// nghttp2's HPACK decoder.
class decoder {
public:
    decoder() { nghttp2_hd_inflate_new(&inflater_); }
    decoder(const decoder&) = delete;
    decoder& operator=(const decoder&) = delete;
    ~decoder() { nghttp2_hd_inflate_del(inflater_); }

    /// The fields of `block`; nothing where it is broken.
    std::optional<fields> decode(const bytes& block)
    {
        fields out;
        const auto* in = reinterpret_cast<const std::uint8_t*>(block.data());
        std::size_t left = block.size();
        for (;;) {
            nghttp2_nv nv;
            int flags = 0;
            const ssize_t took = nghttp2_hd_inflate_hd2(inflater_, &nv, &flags, in, left, 1);
            if (took < 0) {
                return std::nullopt;
            }
            in += took;
            left -= static_cast<std::size_t>(took);
            if ((flags & NGHTTP2_HD_INFLATE_EMIT) != 0) {
                out.emplace_back(std::string{reinterpret_cast<char*>(nv.name), nv.namelen},
                                 std::string{reinterpret_cast<char*>(nv.value), nv.valuelen});
            }
            if ((flags & NGHTTP2_HD_INFLATE_FINAL) != 0) {
                nghttp2_hd_inflate_end_headers(inflater_);
                return out;
            }
        }
    }
    std::size_t table_length() const { return nghttp2_hd_inflate_get_num_table_entries(inflater_) - 61; }

private:
    nghttp2_hd_inflater* inflater_ = nullptr;
};

/// The block as it is decoded through large_values.
std::optional<fields> through(large_values& values, decoder& to, const bytes& block, std::size_t* size = nullptr)
{
    bytes rewritten;
    const bool cut = values.cut(block, rewritten);
    if (size != nullptr) {
        *size = cut ? rewritten.size() : block.size();
    }
    auto list = to.decode(cut ? rewritten : block);
    if (list) {
        for (auto& [name, value] : *list) {
            if (const auto found = values.find(value)) {
                value = found->too_large ? "TOO LARGE" : std::string{found->value};
            }
        }
    }
    return list;
}

std::string base64_like(std::size_t size, unsigned seed = 3)
{
    static constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::mt19937 random{seed};
    std::string s(size, ' ');
    for (char& c : s) {
        c = digits[random() % digits.size()];
    }
    return s;
}

void put_integer(bytes& out, unsigned flags, unsigned bits, std::size_t value)
{
    const std::size_t most = (1U << bits) - 1;
    if (value < most) {
        out.push_back(static_cast<std::byte>(flags | value));
        return;
    }
    out.push_back(static_cast<std::byte>(flags | most));
    for (value -= most; value >= 128; value /= 128) {
        out.push_back(static_cast<std::byte>(value % 128 + 128));
    }
    out.push_back(static_cast<std::byte>(value));
}

void put_string(bytes& out, std::string_view s)
{
    put_integer(out, 0, 7, s.size());
    for (const char c : s) {
        out.push_back(static_cast<std::byte>(c));
    }
}

/// A literal with incremental indexing and a name of its own.
void put_indexed_literal(bytes& out, std::string_view name, std::string_view value)
{
    out.push_back(std::byte{0x40});
    put_string(out, name);
    put_string(out, value);
}

}  // namespace

TEST_CASE("Huffman strings of nghttp2's encoder are decoded, all byte values among them")
{
    // One value at a time behind many short codes, so that the encoder finds Huffman shorter; then random mixtures.
    std::mt19937 random{11};
    std::vector<std::string> samples;
    for (int c = 0; c < 256; ++c) {
        samples.push_back(std::string(40, 'a') + static_cast<char>(c) + "aa" + static_cast<char>(c));
    }
    for (std::size_t length = 1; length < 200; ++length) {
        std::string s(length, 'e');
        for (char& c : s) {
            const auto roll = random() % 16;
            c = roll == 0 ? static_cast<char>(random()) : roll < 4 ? static_cast<char>(random() % 96 + 32) : 'o';
        }
        samples.push_back(s);
    }
    int coded = 0;
    for (const std::string& s : samples) {
        encoder to;
        // A literal without indexing would do as well; what follows the name is the value's string.
        const bytes block = to.encode({{"x", s}});
        std::size_t at = 1;
        at += 1 + (std::to_integer<std::size_t>(block[1]) & 0x7f);
        const bool huffman = (std::to_integer<unsigned>(block[at]) & 0x80) != 0;
        std::size_t length = std::to_integer<std::size_t>(block[at]) & 0x7f;
        ++at;
        if (length == 0x7f) {
            for (unsigned shift = 0;; shift += 7) {
                const auto byte = std::to_integer<std::size_t>(block[at++]);
                length += (byte & 0x7f) << shift;
                if (byte < 0x80) {
                    break;
                }
            }
        }
        REQUIRE(at + length == block.size());
        if (huffman) {
            ++coded;
            std::string out;
            REQUIRE(huffman_decode(std::span{block}.subspan(at), out));
            REQUIRE(out == s);
        }
    }
    CHECK(coded > 400);
}

TEST_CASE("Broken Huffman strings are refused")
{
    const auto decodes = [](std::initializer_list<int> in) {
        bytes b;
        for (const int i : in) {
            b.push_back(static_cast<std::byte>(i));
        }
        std::string out;
        return huffman_decode(b, out);
    };
    CHECK(decodes({}));
    CHECK(decodes({0x1f}));                          // 'a' and three bits of padding
    CHECK_FALSE(decodes({0x1e}));                    // padding of other bits than EOS's
    CHECK_FALSE(decodes({0x1f, 0xff}));              // more than seven bits of padding
    CHECK_FALSE(decodes({0xff, 0xff, 0xff, 0xff}));  // EOS
    CHECK_FALSE(decodes({0xff, 0xff, 0xff}));        // a long code cut short
}

TEST_CASE("Values above 64 KiB come through HPACK, plain and Huffman-coded")
{
    const auto size = GENERATE(std::size_t{100000}, std::size_t{200000}, std::size_t{1048576});
    const bool plain = GENERATE(true, false);
    // Most bytes of the plain one have long codes, so the encoder leaves it alone.
    std::string value = base64_like(size);
    if (plain) {
        for (std::size_t i = 0; i < value.size(); i += 2) {
            value[i] = static_cast<char>(0xc3);
        }
    }
    encoder from;
    const fields sent{{"grpc-status", "2"}, {"grpc-status-details-bin", value}, {"after", "here"}};
    const bytes block = from.encode(sent);
    CHECK((block.size() > size) == plain);

    decoder alone;
    CHECK_FALSE(alone.decode(block));

    large_values values{2 << 20};
    decoder to;
    std::size_t shrunk = 0;
    const auto received = through(values, to, block, &shrunk);
    REQUIRE(received);
    CHECK(*received == sent);
    CHECK(shrunk < 200);
    // The tables still agree.
    for (int i = 0; i < 3; ++i) {
        const fields next{{"grpc-status", "2"}, {"after", "here"}, {"more", std::to_string(i)}};
        const auto got = through(values, to, from.encode(next));
        REQUIRE(got);
        CHECK(*got == next);
    }
}

TEST_CASE("A large literal with incremental indexing empties the table, also behind a placeholder")
{
    decoder to;
    large_values values{2 << 20};
    const std::string large = base64_like(100000);

    bytes first;
    put_indexed_literal(first, "kept", "1");
    REQUIRE(through(values, to, first));
    CHECK(to.table_length() == 1);

    // Small entry, two large ones, a small one, a large one, a last small one: only that is in the table afterwards.
    bytes block;
    put_indexed_literal(block, "a", "1");
    put_indexed_literal(block, "big", large);
    put_indexed_literal(block, "big", large + "2");
    put_indexed_literal(block, "b", "2");
    put_indexed_literal(block, "big", large + "3");
    put_indexed_literal(block, "c", "3");
    const auto got = through(values, to, block);
    REQUIRE(got);
    CHECK(*got ==
          fields{{"a", "1"}, {"big", large}, {"big", large + "2"}, {"b", "2"}, {"big", large + "3"}, {"c", "3"}});
    CHECK(to.table_length() == 1);

    // Index 62 is the newest entry.
    const auto indexed = through(values, to, {std::byte{0x80 | 62}});
    REQUIRE(indexed);
    CHECK(*indexed == fields{{"c", "3"}});
    CHECK_FALSE(through(values, to, {std::byte{0x80 | 63}}));
}

TEST_CASE("A large literal may take its name from the entry that it evicts, and follow a change of the table's size")
{
    decoder to;
    large_values values{2 << 20};
    const std::string large = base64_like(70000);
    bytes block;
    put_integer(block, 0x20, 5, 1000);
    put_indexed_literal(block, "name-in-table", "1");
    put_integer(block, 0x40, 6, 62);
    put_string(block, large);
    put_integer(block, 0x40, 6, 1);  // :authority, of the static table
    put_string(block, large);
    put_indexed_literal(block, "z", "9");
    const auto got = through(values, to, block);
    REQUIRE(got);
    CHECK(*got == fields{{"name-in-table", "1"}, {"name-in-table", large}, {":authority", large}, {"z", "9"}});
    CHECK(to.table_length() == 1);
}

TEST_CASE("Small values stay where they are, also where placeholders of the last block are known")
{
    encoder from;
    large_values values{2 << 20};
    bytes out;
    CHECK_FALSE(values.cut(from.encode({{"a", "b"}, {"c", base64_like(4000)}}), out));
    CHECK(values.empty());
    CHECK_FALSE(values.find("anything"));
    CHECK(values.cut(from.encode({{"c", base64_like(5000)}}), out));
    CHECK_FALSE(values.find(""));
    CHECK_FALSE(values.find("anything that is longer than a placeholder's token, but is none"));
    CHECK_FALSE(values.cut(from.encode({{"a", "b"}}), out));
    CHECK(values.empty());
}

TEST_CASE("Values above the bound are not kept, and their placeholders say so")
{
    encoder from;
    decoder to;
    large_values values{150000};
    const auto got =
        through(values, to, from.encode({{"a", base64_like(100000)}, {"b", base64_like(100000)}, {"c", "d"}}));
    REQUIRE(got);
    CHECK((*got)[0].second.size() == 100000);
    CHECK((*got)[1].second == "TOO LARGE");
    CHECK((*got)[2].second == "d");
}

TEST_CASE("Broken blocks are left as they are")
{
    std::mt19937 random{5};
    encoder from;
    const bytes good = from.encode({{"a", base64_like(30000)}, {"b", "c"}, {"d", base64_like(9000)}});
    for (int i = 0; i < 20000; ++i) {
        bytes bad = good;
        bad.resize(random() % bad.size());
        for (unsigned flips = random() % 4; flips > 0 && !bad.empty(); --flips) {
            bad[random() % std::min<std::size_t>(bad.size(), 40)] = static_cast<std::byte>(random());
        }
        large_values values{2 << 20};
        bytes out;
        // No crash, and never more than was there: what comes out is at most the block and its placeholders.
        if (values.cut(bad, out)) {
            CHECK(out.size() <= bad.size() + 3 * 4200);
        }
    }
}
