#pragma once

#include <memory>
#include <mutex>
#include <utility>

namespace buildkit_lb {

/// A shared pointer that one thread replaces while others take it. Any thread. (std::atomic<std::shared_ptr> of this
/// standard library is opaque to ThreadSanitizer; this is taken once a connection.)
template <class T>
class swappable_ptr {
public:
    std::shared_ptr<T> load() const
    {
        const std::lock_guard lock{mutex_};
        return pointer_;
    }
    void store(std::shared_ptr<T> next)
    {
        const std::lock_guard lock{mutex_};
        pointer_.swap(next);
    }

private:
    mutable std::mutex mutex_;
    std::shared_ptr<T> pointer_;
};

}  // namespace buildkit_lb
