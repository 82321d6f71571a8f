#include "http2/large_headers.hpp"

#include <memory>
#include <nghttp2/nghttp2.h>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "support/http2_frames.hpp"
#include "support/require.hpp"
#include "support/targets.hpp"

namespace buildkit_lb::fuzz {
namespace {

using fields = std::vector<std::pair<std::string, std::string>>;

struct inflater_deleter {
    void operator()(nghttp2_hd_inflater* i) const { nghttp2_hd_inflate_del(i); }
};
using inflater = std::unique_ptr<nghttp2_hd_inflater, inflater_deleter>;

inflater new_inflater()
{
    nghttp2_hd_inflater* made = nullptr;
    require(nghttp2_hd_inflate_new(&made) == 0, "there is memory");
    return inflater{made};
}

/// The fields of a whole block; nothing where the decoder gives up.
std::optional<fields> decode(nghttp2_hd_inflater& decoder, std::string_view block)
{
    fields out;
    const auto* at = reinterpret_cast<const std::uint8_t*>(block.data());
    std::size_t left = block.size();
    for (;;) {
        nghttp2_nv field{};
        int flags = 0;
        const ssize_t used = nghttp2_hd_inflate_hd2(&decoder, &field, &flags, at, left, 1);
        if (used < 0) {
            return std::nullopt;
        }
        at += used;
        left -= static_cast<std::size_t>(used);
        if ((flags & NGHTTP2_HD_INFLATE_EMIT) != 0) {
            out.emplace_back(std::string{reinterpret_cast<const char*>(field.name), field.namelen},
                             std::string{reinterpret_cast<const char*>(field.value), field.valuelen});
        }
        if ((flags & NGHTTP2_HD_INFLATE_FINAL) != 0) {
            nghttp2_hd_inflate_end_headers(&decoder);
            return out;
        }
        if (left == 0 && (flags & NGHTTP2_HD_INFLATE_EMIT) == 0) {
            return std::nullopt;
        }
    }
}

/// An encoded block from a script: bytes as they are, and literals with long values, indexed or not.
std::string block_of(fuzz_input& script)
{
    std::string block;
    for (std::size_t parts = 1 + script.below(6); parts > 0; --parts) {
        const std::uint8_t kind = script.byte();
        if ((kind & 3U) == 0) {
            block += script.piece();
            continue;
        }
        // A literal, and what kind of one its first byte says (RFC 7541, section 6.2).
        std::string field = literal("x-" + std::string{script.piece()}, std::string(telling_size(script.byte()), 'v'));
        field.front() = static_cast<char>((kind & 3U) == 1 ? 0x40 : (kind & 3U) == 2 ? 0x10 : 0x00);
        block += field;
    }
    return block;
}

}  // namespace

void large_headers(std::string_view input)
{
    fuzz_input script{input};
    const inflater plain = new_inflater();
    const inflater helped = new_inflater();
    http2::large_values values{std::size_t{1} << 20U};
    std::vector<std::byte> rewritten;
    // Several blocks of one connection: the dynamic table must stay the same in both.
    for (int blocks = 0; blocks < 4 && !script.empty(); ++blocks) {
        const std::string block = block_of(script);
        const std::optional<fields> expected = decode(*plain, block);
        const bool was_cut = values.cut(std::as_bytes(std::span{block}), rewritten);
        const std::string_view passed =
            was_cut ? std::string_view{reinterpret_cast<const char*>(rewritten.data()), rewritten.size()} : block;
        std::optional<fields> found = decode(*helped, passed);
        if (!expected || !found) {
            // Values above nghttp2's own bound are what the cutting is for.
            require(!expected || found, "a block that can be read can be read with its values cut out");
            return;
        }
        for (auto& [name, value] : *found) {
            if (const auto original = values.find(value)) {
                require(!original->too_large, "values within the bound are kept");
                value = std::string{original->value};
            }
        }
        require(*expected == *found, "cutting values out and putting them back changes nothing");
        require(nghttp2_hd_inflate_get_dynamic_table_size(plain.get()) ==
                        nghttp2_hd_inflate_get_dynamic_table_size(helped.get()) ||
                    was_cut,
                "the tables stay alike");
    }
}

}  // namespace buildkit_lb::fuzz
