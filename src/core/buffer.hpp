#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

namespace buildkit_lb {

/// Bytes that are passed on without being copied: a counted block of memory and views into it.
///
/// The count is not atomic. A block and every slice of it stay on the thread that made the block; to hand bytes to
/// another thread, copy them (buffer_slice::copy_of on the other side, or any plain container).
///
/// Blocks of `read_block_size` and `small_block_size` come from a pool of the thread, so that a busy connection
/// allocates nothing; other sizes come from the heap.
class buffer_block {
public:
    /// What a socket is read into: four DATA frames of the usual size.
    static constexpr std::size_t read_block_size = 65536;
    /// What control frames are gathered in.
    static constexpr std::size_t small_block_size = 4096;

    buffer_block() = default;
    buffer_block(const buffer_block& other) noexcept : head_{other.head_} { retain(head_); }
    buffer_block(buffer_block&& other) noexcept : head_{std::exchange(other.head_, nullptr)} {}
    buffer_block& operator=(buffer_block other) noexcept
    {
        std::swap(head_, other.head_);
        return *this;
    }
    ~buffer_block() { release(head_); }

    /// A block of exactly `capacity` bytes, not initialised.
    static buffer_block make(std::size_t capacity);

    explicit operator bool() const { return head_ != nullptr; }
    std::size_t capacity() const { return head_ == nullptr ? 0 : head_->capacity; }
    /// True where no slice and no other handle refers to the block, so that its bytes may be overwritten.
    bool unique() const { return head_ != nullptr && head_->references == 1; }
    /// Number of handles and slices that keep the block alive.
    std::size_t references() const { return head_ == nullptr ? 0 : head_->references; }
    /// The bytes. Write only those that no slice covers.
    std::span<std::byte> bytes() const { return {bytes_of(head_), capacity()}; }

private:
    friend class buffer_slice;

    struct header {
        std::uint32_t references;
        std::uint32_t capacity;
    };

    explicit buffer_block(header* adopted) noexcept : head_{adopted} {}

    static std::byte* bytes_of(header* head)
    {
        return head == nullptr ? nullptr : reinterpret_cast<std::byte*>(head + 1);
    }
    static void retain(header* head) noexcept
    {
        if (head != nullptr) {
            ++head->references;
        }
    }
    static void release(header* head) noexcept
    {
        if (head != nullptr && --head->references == 0) {
            recycle(head);
        }
    }
    static void recycle(header* head) noexcept;

    header* head_ = nullptr;
};

/// A read-only view of a part of a buffer_block that keeps the block alive. Copying and moving are cheap.
/// Thread-confined, see buffer_block.
class buffer_slice {
public:
    buffer_slice() = default;
    /// `count` bytes of `block` from `offset`; both inside it.
    buffer_slice(const buffer_block& block, std::size_t offset, std::size_t count) noexcept
        : head_{block.head_}, data_{buffer_block::bytes_of(block.head_) + offset}, size_{count}
    {
        buffer_block::retain(head_);
    }
    buffer_slice(const buffer_slice& other) noexcept : head_{other.head_}, data_{other.data_}, size_{other.size_}
    {
        buffer_block::retain(head_);
    }
    buffer_slice(buffer_slice&& other) noexcept
        : head_{std::exchange(other.head_, nullptr)},
          data_{std::exchange(other.data_, nullptr)},
          size_{std::exchange(other.size_, 0)}
    {
    }
    buffer_slice& operator=(buffer_slice other) noexcept
    {
        std::swap(head_, other.head_);
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
        return *this;
    }
    ~buffer_slice() { buffer_block::release(head_); }

    /// A copy of `bytes` in a block of exactly their size.
    static buffer_slice copy_of(std::span<const std::byte> bytes);
    static buffer_slice copy_of(std::string_view text);

    const std::byte* data() const { return data_; }
    std::size_t size() const { return size_; }
    bool empty() const { return size_ == 0; }
    std::span<const std::byte> span() const { return {data_, size_}; }
    std::string_view view() const { return {reinterpret_cast<const char*>(data_), size_}; }

    /// The part of `count` bytes from `offset`; both inside this slice.
    buffer_slice subslice(std::size_t offset, std::size_t count) const noexcept
    {
        buffer_slice part{*this};
        part.data_ += offset;
        part.size_ = count;
        return part;
    }
    /// The slice of the same block that covers `part`, a range inside this slice.
    buffer_slice subslice(std::span<const std::byte> part) const noexcept
    {
        return subslice(static_cast<std::size_t>(part.data() - data_), part.size());
    }
    /// Drops the first `count` bytes, at most size().
    void remove_prefix(std::size_t count)
    {
        data_ += count;
        size_ -= count;
    }
    /// Drops the last `count` bytes, at most size().
    void remove_suffix(std::size_t count) { size_ -= count; }
    /// Cuts the first `count` bytes off and returns them.
    buffer_slice take_prefix(std::size_t count)
    {
        buffer_slice front = subslice(0, count);
        remove_prefix(count);
        return front;
    }
    /// Appends `next` if it continues this slice in the same block; false where it does not.
    bool join(const buffer_slice& next)
    {
        if (head_ == nullptr || head_ != next.head_ || data_ + size_ != next.data_) {
            return false;
        }
        size_ += next.size_;
        return true;
    }

    /// Replaces the slice by a copy of its own size where it keeps alive much more memory than it uses: call it
    /// before bytes are kept for long. Small slices (below 4 KiB) of a larger block are always copied.
    void compact();

private:
    buffer_block::header* head_ = nullptr;
    const std::byte* data_ = nullptr;
    std::size_t size_ = 0;
};

}  // namespace buildkit_lb
