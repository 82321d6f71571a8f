#include "core/buffer.hpp"

#include <array>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>
#include <stdexcept>

#include "core/free_list.hpp"

namespace buildkit_lb {
namespace {

/// 8 MiB of read blocks and 256 KiB of small ones stay with a thread.
free_list* pool_for(std::size_t capacity)
{
    static thread_local std::array<free_list, 2> pools{free_list{buffer_block::read_block_size, 128},
                                                       free_list{buffer_block::small_block_size, 64}};
    for (free_list& pool : pools) {
        if (pool.size() == capacity) {
            return &pool;
        }
    }
    return nullptr;
}

}  // namespace

buffer_block buffer_block::make(std::size_t capacity)
{
    if (capacity > std::numeric_limits<std::uint32_t>::max()) {
        throw std::length_error("a buffer block is at most 4 GiB");
    }
    free_list* pool = pool_for(capacity);
    void* memory = pool == nullptr ? nullptr : pool->take();
    if (memory == nullptr) {
        memory = std::malloc(sizeof(header) + capacity);
        if (memory == nullptr) {
            throw std::bad_alloc{};
        }
    }
    return buffer_block{new (memory) header{1, static_cast<std::uint32_t>(capacity)}};
}

void buffer_block::recycle(header* head) noexcept
{
    free_list* pool = pool_for(head->capacity);
    if (pool == nullptr || !pool->put(head)) {
        std::free(head);
    }
}

buffer_slice buffer_slice::copy_of(std::span<const std::byte> bytes)
{
    if (bytes.empty()) {
        return {};
    }
    const buffer_block block = buffer_block::make(bytes.size());
    std::memcpy(block.bytes().data(), bytes.data(), bytes.size());
    return {block, 0, bytes.size()};
}

buffer_slice buffer_slice::copy_of(std::string_view text)
{
    return copy_of(std::as_bytes(std::span{text.data(), text.size()}));
}

void buffer_slice::compact()
{
    if (head_ == nullptr || size_ * 2 > head_->capacity) {
        return;
    }
    // The block's memory is shared by all that refer to it: judge by this slice's part of it.
    const std::size_t share = head_->capacity / head_->references;
    if (size_ < 4096 || size_ < share / 4) {
        *this = copy_of(span());
    }
}

}  // namespace buildkit_lb
