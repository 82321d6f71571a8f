#include "http2/header_filter.hpp"

#include <algorithm>
#include <cstring>

namespace buildkit_lb::http2 {
namespace {

constexpr std::size_t preface_size = 24;
constexpr std::size_t frame_header_size = 9;
/// The largest frame we let peers send: what the protocol starts with, never raised.
constexpr std::size_t max_frame_size = 16384;

constexpr std::uint8_t type_headers = 1;  // and DATA is 0
constexpr std::uint8_t type_rst_stream = 3;
constexpr std::uint8_t type_goaway = 7;
constexpr std::uint8_t type_continuation = 9;
/// The last stream's number and the error code.
constexpr std::size_t goaway_size = 8;
constexpr std::uint8_t flag_end_stream = 0x1;
constexpr std::uint8_t flag_end_headers = 0x4;
constexpr std::uint8_t flag_padded = 0x8;
constexpr std::uint8_t flag_priority = 0x20;

/// Memory that is kept for the next large block.
constexpr std::size_t keep_capacity = 16384;

}  // namespace

header_filter::header_filter(role as, const options& limits, gate all)
    : max_block_{limits.max_header_block},
      max_continuations_{limits.max_continuations},
      values_{limits.max_header_list},
      from_client_{as == role::server},
      preface_left_{as == role::server ? preface_size : 0},
      gate_{all}
{
}

header_filter::frame_header header_filter::parse(const std::byte* bytes)
{
    const auto at = [&](int i) { return std::to_integer<std::uint32_t>(bytes[i]); };
    return {at(0) << 16 | at(1) << 8 | at(2), static_cast<std::uint8_t>(at(3)), static_cast<std::uint8_t>(at(4)),
            (at(5) << 24 | at(6) << 16 | at(7) << 8 | at(8)) & 0x7fffffff};
}

bool header_filter::gathers(const frame_header& h) const
{
    // Whatever nghttp2 will refuse by its header alone passes.
    if (h.length > max_frame_size) {
        return false;
    }
    if (state_ == state::between) {
        return h.type == type_continuation && h.stream == headers_.stream;
    }
    return h.type == type_headers && (h.flags & flag_end_headers) == 0 && h.stream != 0;
}

bool header_filter::corrects(const frame_header& h) const
{
    return from_client_ && state_ == state::passing && h.type == type_goaway && h.stream == 0 &&
           h.length >= goaway_size && h.length <= max_frame_size;
}

std::span<const std::byte> header_filter::next(std::span<const std::byte>& in)
{
    if (emitted_) {
        emitted_ = false;
        emit_.clear();
        block_.clear();
        values_.clear();
        if (emit_.capacity() > keep_capacity) {
            emit_.shrink_to_fit();
            block_.shrink_to_fit();
        }
    }
    std::size_t pass = 0;  // bytes from the front of `in` that pass
    const auto passed = [&] {
        const auto front = in.first(pass);
        in = in.subspan(pass);
        return front;
    };
    for (;;) {
        if (flooded_ || shut_) {
            return {};
        }
        if (!emit_.empty()) {
            emitted_ = true;
            return emit_;
        }
        if (state_ != state::passing && state_ != state::between) {
            const std::size_t part = std::min(payload_left_, in.size());
            block_.insert(block_.end(), in.begin(), in.begin() + static_cast<std::ptrdiff_t>(part));
            in = in.subspan(part);
            payload_left_ -= part;
            if (payload_left_ > 0) {
                return {};
            }
            on_frame_end();
            continue;
        }
        std::size_t& skip = preface_left_ > 0 ? preface_left_ : payload_left_;
        if (skip > 0) {
            const std::size_t part = std::min(skip, in.size() - pass);
            pass += part;
            skip -= part;
        }
        if (ends_run_ && payload_left_ == 0) {
            ends_run_ = false;
            if (pass > 0) {
                return passed();
            }
        }
        if (pass == in.size()) {
            return passed();
        }
        const std::size_t left = in.size() - pass;
        if (partial_size_ == 0 && left >= frame_header_size && state_ == state::passing) {
            const frame_header h = parse(in.data() + pass);
            if (!gathers(h) && !corrects(h)) {
                if (!admits(h)) {
                    return passed();
                }
                payload_left_ = h.length;
                pass += frame_header_size;
                continue;
            }
        }
        if (pass > 0) {
            return passed();
        }
        // A frame header that is cut in pieces, or one that is not to be passed.
        const std::size_t part = std::min(frame_header_size - partial_size_, in.size());
        std::memcpy(partial_ + partial_size_, in.data(), part);
        in = in.subspan(part);
        partial_size_ += part;
        if (partial_size_ < frame_header_size) {
            return {};
        }
        partial_size_ = 0;
        if (!on_frame_header(partial_)) {
            return partial_;
        }
    }
}

bool header_filter::admits(const frame_header& h)
{
    // nghttp2 is to know of streams that open and close before the next frame is judged.
    ends_run_ = h.type == type_headers || h.type == type_rst_stream;
    shut_ = !gate_.admits(gate_.context, h);
    return !shut_;
}

bool header_filter::on_frame_header(const std::byte* bytes)
{
    const frame_header h = parse(bytes);
    if (!admits(h)) {
        return true;
    }
    if (corrects(h)) {
        headers_ = h;
        block_.clear();
        payload_left_ = h.length;
        state_ = state::goaway;
        return true;
    }
    if (gathers(h)) {
        current_ = h;
        payload_left_ = h.length;
        if (state_ == state::passing) {
            headers_ = h;
            block_.clear();
            continuations_ = 0;
            state_ = state::first;
        } else {
            state_ = state::continuation;
            ++continuations_;
        }
        flooded_ = continuations_ > max_continuations_ || block_.size() + h.length > max_block_;
        return true;
    }
    payload_left_ = h.length;
    if (state_ == state::between) {
        // The block breaks off. nghttp2 is told of a block that has begun, and finds the error in this frame.
        emit_frame(type_headers, static_cast<std::uint8_t>(headers_.flags & flag_end_stream), {}, {});
        emit_.insert(emit_.end(), bytes, bytes + frame_header_size);
        state_ = state::passing;
        return true;
    }
    return false;
}

void header_filter::on_frame_end()
{
    if (state_ == state::goaway) {
        std::fill_n(block_.begin(), sizeof(std::uint32_t), std::byte{0});
        emit_frame(type_goaway, headers_.flags, {}, block_);
        state_ = state::passing;
        return;
    }
    if (state_ == state::first && !unwrap_first_frame()) {
        // Padding longer than the frame: as it came, for nghttp2 to refuse.
        emit_frame(type_headers, headers_.flags, {}, block_);
        state_ = state::passing;
        return;
    }
    state_ = state::between;
    if ((current_.flags & flag_end_headers) == 0) {
        return;
    }
    state_ = state::passing;
    std::vector<std::byte> rewritten;
    emit_block(values_.cut(block_, rewritten) ? rewritten : block_);
}

bool header_filter::unwrap_first_frame()
{
    std::size_t front = 0;
    std::size_t padding = 0;
    if ((headers_.flags & flag_padded) != 0) {
        if (block_.empty()) {
            return false;
        }
        padding = std::to_integer<std::size_t>(block_[0]);
        front = 1;
    }
    const std::size_t priority = (headers_.flags & flag_priority) != 0 ? 5 : 0;
    if (front + priority + padding > block_.size()) {
        return false;
    }
    const auto begin = block_.begin() + static_cast<std::ptrdiff_t>(front);
    priority_.assign(begin, begin + static_cast<std::ptrdiff_t>(priority));
    block_.resize(block_.size() - padding);
    block_.erase(block_.begin(), block_.begin() + static_cast<std::ptrdiff_t>(front + priority));
    return true;
}

void header_filter::emit_block(std::span<const std::byte> block)
{
    std::uint8_t type = type_headers;
    std::uint8_t flags = static_cast<std::uint8_t>(headers_.flags & (flag_end_stream | flag_priority));
    std::span<const std::byte> extra = priority_;
    for (;;) {
        const std::size_t part = std::min(block.size(), max_frame_size - extra.size());
        const bool last = part == block.size();
        emit_frame(type, static_cast<std::uint8_t>(flags | (last ? flag_end_headers : 0)), extra, block.first(part));
        if (last) {
            return;
        }
        block = block.subspan(part);
        type = type_continuation;
        flags = 0;
        extra = {};
    }
}

void header_filter::emit_frame(std::uint8_t type, std::uint8_t flags, std::span<const std::byte> extra,
                               std::span<const std::byte> payload)
{
    const std::size_t length = extra.size() + payload.size();
    const auto push = [&](std::size_t value) { emit_.push_back(static_cast<std::byte>(value & 0xff)); };
    push(length >> 16);
    push(length >> 8);
    push(length);
    push(type);
    push(flags);
    push(headers_.stream >> 24);
    push(headers_.stream >> 16);
    push(headers_.stream >> 8);
    push(headers_.stream);
    emit_.insert(emit_.end(), extra.begin(), extra.end());
    emit_.insert(emit_.end(), payload.begin(), payload.end());
}

}  // namespace buildkit_lb::http2
