#pragma once

#include <cstddef>
#include <vector>

#include "core/buffer.hpp"

namespace buildkit_lb::http2 {

/// Body bytes of one stream that wait to be sent, by reference. Owned by the engine.
class output_queue {
public:
    void push(buffer_slice data);
    /// Moves the first `bytes` (at most size()) into `out`.
    void take(std::size_t bytes, std::vector<buffer_slice>& out);
    /// The slice that goes next; size() is not 0.
    const buffer_slice& front() const { return slices_[head_]; }
    /// Drops the first `bytes`, at most what front() has.
    void drop(std::size_t bytes);
    /// The bytes will wait for a while: see to it that slices added since the last call pin little memory.
    void compact();
    void clear();

    std::size_t size() const { return size_; }
    bool empty() const { return size_ == 0; }

private:
    void tidy();

    std::vector<buffer_slice> slices_;
    std::size_t head_ = 0;       // index of the first slice that is still here
    std::size_t compacted_ = 0;  // slices before this index have been looked at
    std::size_t size_ = 0;
};

/// Gathers output for one writev: small pieces are copied into a shared block one behind the other, bodies are
/// appended by reference. Owned by the engine.
class output_gather {
public:
    /// Starts to append to `out`, which outlives finish().
    void start(std::vector<buffer_slice>& out);
    void copy(const void* data, std::size_t size);
    void take(output_queue& queue, std::size_t bytes);
    /// Lets go of the shared block: it goes back to the thread's pool as soon as it is sent.
    void finish();
    std::size_t bytes() const { return bytes_; }

private:
    std::vector<buffer_slice>* out_ = nullptr;
    std::size_t bytes_ = 0;
    buffer_block block_;
    std::size_t used_ = 0;
};

}  // namespace buildkit_lb::http2
