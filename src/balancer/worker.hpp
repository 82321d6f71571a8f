#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "core/endpoint.hpp"
#include "core/types.hpp"

namespace buildkit_lb::balancer {

/// What the configuration says of a worker.
struct worker_settings {
    std::string name;  ///< unique in its pool
    endpoint address;
    worker_weight weight{1};
    std::uint32_t max_builds = 0;  ///< 0: no cap
};

/// One worker of a pool: its settings and its load. Shared by all threads; lives as long as anything refers to it.
class worker {
public:
    explicit worker(worker_settings s) : settings_{std::move(s)} {}
    worker(const worker&) = delete;
    worker& operator=(const worker&) = delete;

    const std::string& name() const { return settings_.name; }
    const endpoint& address() const { return settings_.address; }
    worker_weight weight() const { return settings_.weight; }
    std::uint32_t max_builds() const { return settings_.max_builds; }

    /// Builds placed here that have not ended. With `protocol: tcp` a connection counts as a build.
    std::uint32_t active_builds() const { return active_builds_.load(std::memory_order_relaxed); }

    /// Builds that clients run for their own purposes (`Internal: true`). They are not queued and do not count towards
    /// max_builds.
    std::uint32_t internal_builds() const { return internal_builds_.load(std::memory_order_relaxed); }

private:
    friend class lease;
    worker_settings settings_;
    std::atomic<std::uint32_t> active_builds_{0};
    std::atomic<std::uint32_t> internal_builds_{0};
};

enum class build_kind : std::uint8_t { ordinary, internal };

/// Counts one build on a worker for as long as it lives. Made by pool::pick_worker; any thread may destroy it.
class lease {
public:
    lease() = default;
    explicit lease(std::shared_ptr<worker> w, build_kind kind = build_kind::ordinary)
        : worker_{std::move(w)}, kind_{kind}
    {
        counter().fetch_add(1, std::memory_order_relaxed);
    }
    lease(lease&& other) noexcept = default;
    lease& operator=(lease&& other) noexcept
    {
        lease taken{std::move(other)};
        std::swap(worker_, taken.worker_);
        std::swap(kind_, taken.kind_);
        return *this;
    }
    ~lease()
    {
        if (worker_) {
            counter().fetch_sub(1, std::memory_order_relaxed);
        }
    }

    explicit operator bool() const { return worker_ != nullptr; }
    const std::shared_ptr<worker>& where() const { return worker_; }

private:
    std::atomic<std::uint32_t>& counter()
    {
        return kind_ == build_kind::ordinary ? worker_->active_builds_ : worker_->internal_builds_;
    }

    std::shared_ptr<worker> worker_;
    build_kind kind_ = build_kind::ordinary;
};

}  // namespace buildkit_lb::balancer
