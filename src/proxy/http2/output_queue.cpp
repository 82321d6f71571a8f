#include "http2/output_queue.hpp"

#include <algorithm>
#include <cstring>

namespace buildkit_lb::http2 {
namespace {

/// A queue that was this long once gives its memory back when it runs empty.
constexpr std::size_t keep_capacity = 64;

/// A body of up to this size is cheaper to copy than to hand to the kernel as a piece of its own.
constexpr std::size_t small_body = 1024;

}  // namespace

void output_queue::push(buffer_slice data)
{
    size_ += data.size();
    if (slices_.size() > std::max(head_, compacted_) && slices_.back().join(data)) {
        return;
    }
    slices_.push_back(std::move(data));
}

void output_queue::take(std::size_t bytes, std::vector<buffer_slice>& out)
{
    size_ -= bytes;
    while (bytes > 0) {
        buffer_slice& front = slices_[head_];
        if (front.size() > bytes) {
            out.push_back(front.take_prefix(bytes));
            return;
        }
        bytes -= front.size();
        out.push_back(std::move(front));
        ++head_;
    }
    tidy();
}

void output_queue::drop(std::size_t bytes)
{
    size_ -= bytes;
    slices_[head_].remove_prefix(bytes);
    if (slices_[head_].empty()) {
        slices_[head_] = {};
        ++head_;
        tidy();
    }
}

void output_queue::tidy()
{
    if (head_ == slices_.size()) {
        clear();
    } else if (head_ >= keep_capacity && head_ * 2 >= slices_.size()) {
        slices_.erase(slices_.begin(), slices_.begin() + static_cast<std::ptrdiff_t>(head_));
        compacted_ -= std::min(compacted_, head_);
        head_ = 0;
    }
}

void output_queue::compact()
{
    for (std::size_t i = std::max(head_, compacted_); i < slices_.size(); ++i) {
        slices_[i].compact();
    }
    compacted_ = slices_.size();
}

void output_queue::clear()
{
    slices_.clear();
    if (slices_.capacity() > keep_capacity) {
        slices_.shrink_to_fit();
    }
    head_ = 0;
    compacted_ = 0;
    size_ = 0;
}

void output_gather::start(std::vector<buffer_slice>& out)
{
    out_ = &out;
    bytes_ = 0;
}

void output_gather::finish()
{
    out_ = nullptr;
    block_ = {};
    used_ = 0;
}

void output_gather::copy(const void* data, std::size_t size)
{
    bytes_ += size;
    const auto* from = static_cast<const std::byte*>(data);
    while (size > 0) {
        if (used_ == block_.capacity()) {
            block_ = buffer_block::make(buffer_block::small_block_size);
            used_ = 0;
        }
        const std::size_t part = std::min(size, block_.capacity() - used_);
        std::memcpy(block_.bytes().data() + used_, from, part);
        buffer_slice piece{block_, used_, part};
        if (out_->empty() || !out_->back().join(piece)) {
            out_->push_back(std::move(piece));
        }
        used_ += part;
        from += part;
        size -= part;
    }
}

void output_gather::take(output_queue& queue, std::size_t bytes)
{
    if (bytes > 0 && bytes <= small_body && queue.front().size() >= bytes) {
        copy(queue.front().data(), bytes);
        queue.drop(bytes);
        return;
    }
    bytes_ += bytes;
    queue.take(bytes, *out_);
}

}  // namespace buildkit_lb::http2
