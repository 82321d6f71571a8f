#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace buildkit_lb::http2 {

/// Cuts large values out of encoded header blocks (HPACK, RFC 7541) and leaves a short placeholder in the place of
/// each. Whoever decodes the block looks the placeholders up here. It knows nothing of the dynamic table and does not
/// need to: a value is cut out only where its entry would not fit into the table, and then
///
/// - a literal that is not indexed stays one, with the placeholder as its value;
/// - a literal with incremental indexing empties the table. Its placeholder is as long as the table can be, so that the
///   decoder's table is emptied as well; if it is empty already, a short one that is not indexed does.
///
/// Pure; owned by a header_filter.
class large_values {
public:
    /// The size of the dynamic table that we let peers use, and thus the least length of a value that is cut out.
    static constexpr std::size_t table_size = 4096;

    /// No more than `most` bytes of values are kept for one block; placeholders of those above say `too_large`.
    explicit large_values(std::size_t most);

    /// Drops the values of the last block and rewrites `block`. False where nothing is to be cut out, or the block is
    /// broken (which the decoder will find as well): pass it as it is.
    bool cut(std::span<const std::byte> block, std::vector<std::byte>& rewritten);

    struct found {
        std::string_view value;
        bool too_large;
    };
    /// The value that the placeholder `text` stands for; nothing where `text` is not one of the last block's.
    std::optional<found> find(std::string_view text) const;
    bool empty() const { return count_ == 0; }
    void clear();

private:
    std::string placeholder(char first, std::size_t least) const;

    std::size_t most_;
    std::string token_;                // random, so that no peer can send a placeholder
    std::vector<std::string> values_;  // empty: too large
    std::size_t kept_ = 0;
    std::size_t count_ = 0;
};

}  // namespace buildkit_lb::http2
