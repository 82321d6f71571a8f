#include "http2/session_memory.hpp"

#include <array>
#include <bit>
#include <cstdlib>
#include <cstring>

#include "core/free_list.hpp"

#if defined(__SANITIZE_ADDRESS__)
#define BUILDKIT_LB_PLAIN_MEMORY 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define BUILDKIT_LB_PLAIN_MEMORY 1
#endif
#endif

namespace buildkit_lb::http2 {
namespace {

/// In front of each piece: the list it belongs to, or that it is not from one.
struct alignas(16) piece_header {
    std::size_t size;  // asked for
    std::size_t list;
};

constexpr std::size_t smallest = 64;  // with its header
constexpr std::size_t lists = 5;      // 64 to 1024 bytes
constexpr std::size_t none = lists;

std::array<free_list, lists>& free_lists()
{
    // About 1 MiB stays with a thread.
    static thread_local std::array<free_list, lists> all{
        free_list{smallest, 2048},    free_list{smallest * 2, 1024}, free_list{smallest * 4, 1024},
        free_list{smallest * 8, 512}, free_list{smallest * 16, 256},
    };
    return all;
}

std::size_t list_for(std::size_t whole)
{
#ifdef BUILDKIT_LB_PLAIN_MEMORY
    static_cast<void>(whole);
    return none;
#else
    if (whole > smallest << (lists - 1)) {
        return none;
    }
    return whole <= smallest ? 0 : static_cast<std::size_t>(std::bit_width((whole - 1) / smallest));
#endif
}

void* allocate(std::size_t size, void*) noexcept
{
    const std::size_t list = list_for(size + sizeof(piece_header));
    void* memory = list == none ? nullptr : free_lists()[list].take();
    if (memory == nullptr) {
        memory = std::malloc(list == none ? size + sizeof(piece_header) : smallest << list);
        if (memory == nullptr) {
            return nullptr;
        }
    }
    auto* const header = new (memory) piece_header{size, list};
    return header + 1;
}

void release(void* piece, void*) noexcept
{
    if (piece == nullptr) {
        return;
    }
    piece_header* const header = static_cast<piece_header*>(piece) - 1;
    if (header->list == none || !free_lists()[header->list].put(header)) {
        std::free(header);
    }
}

void* allocate_zeroed(std::size_t count, std::size_t size, void*) noexcept
{
    void* const piece = allocate(count * size, nullptr);
    if (piece != nullptr) {
        std::memset(piece, 0, count * size);
    }
    return piece;
}

void* reallocate(void* piece, std::size_t size, void*) noexcept
{
    void* const grown = allocate(size, nullptr);
    if (grown != nullptr && piece != nullptr) {
        const std::size_t before = (static_cast<piece_header*>(piece) - 1)->size;
        std::memcpy(grown, piece, before < size ? before : size);
        release(piece, nullptr);
    }
    return grown;
}

}  // namespace

nghttp2_mem* session_memory()
{
    static nghttp2_mem memory{nullptr, &allocate, &release, &allocate_zeroed, &reallocate};
    return &memory;
}

}  // namespace buildkit_lb::http2
