#pragma once

#include <cstddef>
#include <cstdlib>
#include <cstring>

namespace buildkit_lb {

/// Pieces of memory of one size, from std::malloc, that their owner has no use for at the moment. Meant to be
/// thread_local; what was allocated on another thread may be put here.
class free_list {
public:
    /// At most `most` pieces of `size` bytes, at least the size of a pointer, are kept.
    free_list(std::size_t size, std::size_t most) : size_{size}, most_{most} {}
    free_list(const free_list&) = delete;
    free_list& operator=(const free_list&) = delete;
    ~free_list()
    {
        while (void* piece = take()) {
            std::free(piece);
        }
        most_ = 0;  // what outlives the thread's lists goes straight to the heap
    }

    std::size_t size() const { return size_; }

    /// A piece of memory, or null where there is none.
    void* take()
    {
        void* const piece = first_;
        if (piece != nullptr) {
            std::memcpy(&first_, piece, sizeof first_);
            --count_;
        }
        return piece;
    }

    /// Keeps `piece`; false where the list is full.
    bool put(void* piece)
    {
        if (count_ >= most_) {
            return false;
        }
        std::memcpy(piece, &first_, sizeof first_);
        first_ = piece;
        ++count_;
        return true;
    }

private:
    std::size_t size_;
    std::size_t most_;
    std::size_t count_ = 0;
    void* first_ = nullptr;
};

}  // namespace buildkit_lb
