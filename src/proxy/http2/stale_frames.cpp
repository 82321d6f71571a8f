#include "http2/stale_frames.hpp"

#include <algorithm>

namespace buildkit_lb::http2 {
namespace {

constexpr std::size_t most_resets = 1024;

}  // namespace

void stale_frames::opened(std::uint32_t stream)
{
    if (stream > newest_ + 2 && gaps_.size() < most_gaps) {
        gaps_.push_back({newest_, stream});
    }
    newest_ = std::max(newest_, stream);
}

void stale_frames::reset(std::uint32_t stream)
{
    if (resets_.size() < most_resets) {
        resets_.push_back(stream);
        return;
    }
    forgotten_ = std::max(forgotten_, resets_[next_reset_]);
    resets_[next_reset_] = stream;
    next_reset_ = (next_reset_ + 1) % most_resets;
}

error_code stale_frames::judge(std::uint32_t stream) const
{
    if (stream <= forgotten_ || std::find(resets_.begin(), resets_.end(), stream) != resets_.end()) {
        return error_code::no_error;
    }
    const bool skipped =
        std::any_of(gaps_.begin(), gaps_.end(), [&](const gap& g) { return stream > g.after && stream < g.before; });
    return skipped ? error_code::protocol_error : error_code::stream_closed;
}

}  // namespace buildkit_lb::http2
