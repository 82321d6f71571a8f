#pragma once

#include <memory>
#include <utility>

#include "balancer/worker.hpp"

namespace buildkit_lb::balancer {

class pool;

/// Counts one build on a worker for as long as it lives, and tells the worker's pool when it ends, so that a build that
/// waits gets the place. Made by pool; any thread may destroy it, without the pool's lock.
class lease {
public:
    lease() = default;
    /// `told` may be empty: nobody waits then.
    explicit lease(std::shared_ptr<worker> w, build_kind kind = build_kind::ordinary, std::weak_ptr<pool> told = {});
    lease(lease&& other) noexcept = default;
    lease& operator=(lease&& other) noexcept
    {
        lease taken{std::move(other)};
        std::swap(worker_, taken.worker_);
        std::swap(kind_, taken.kind_);
        std::swap(told_, taken.told_);
        return *this;
    }
    ~lease();

    explicit operator bool() const { return worker_ != nullptr; }
    const std::shared_ptr<worker>& where() const { return worker_; }

private:
    std::atomic<std::uint32_t>& counter();

    std::shared_ptr<worker> worker_;
    build_kind kind_ = build_kind::ordinary;
    std::weak_ptr<pool> told_;
};

}  // namespace buildkit_lb::balancer
