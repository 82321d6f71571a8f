#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "core/endpoint.hpp"
#include "core/labels.hpp"
#include "core/types.hpp"

namespace buildkit_lb::balancer {

/// What the configuration says of a worker.
struct worker_settings {
    std::string name;  ///< unique in its pool
    endpoint address;
    worker_weight weight{1};
    std::uint32_t max_builds = 0;  ///< 0: no cap
    std::uint32_t max_internal_builds = 1000;
    label_map labels = {};  ///< beside those that the worker tells of itself, which they outdo
};

/// How many builds a worker has. Those of one pool lie side by side (see worker_table.hpp).
struct worker_load {
    std::atomic<std::uint32_t> builds{0};
    std::atomic<std::uint32_t> internal_builds{0};
};

/// One worker of a pool: its settings, which a reload may change, and its load. Shared by all threads; lives as long as
/// anything refers to it.
class worker {
public:
    explicit worker(const worker_settings& s, std::shared_ptr<worker_load> load = std::make_shared<worker_load>())
        : name_{s.name},
          address_{s.address},
          weight_{s.weight},
          max_builds_{s.max_builds},
          max_internal_builds_{s.max_internal_builds},
          load_{std::move(load)}
    {
    }
    worker(const worker&) = delete;
    worker& operator=(const worker&) = delete;

    const std::string& name() const { return name_; }
    const endpoint& address() const { return address_; }
    worker_weight weight() const { return weight_.load(std::memory_order_relaxed); }
    std::uint32_t max_builds() const { return max_builds_.load(std::memory_order_relaxed); }
    std::uint32_t max_internal_builds() const { return max_internal_builds_.load(std::memory_order_relaxed); }

    /// All but the name and the address.
    void update(const worker_settings& s)
    {
        weight_.store(s.weight, std::memory_order_relaxed);
        max_builds_.store(s.max_builds, std::memory_order_relaxed);
        max_internal_builds_.store(s.max_internal_builds, std::memory_order_relaxed);
    }

    /// Builds placed here that have not ended. With `protocol: tcp` a connection counts as a build.
    std::uint32_t active_builds() const { return load_->builds.load(std::memory_order_relaxed); }

    /// Builds that clients run for their own purposes (`Internal: true`). They are not queued and do not count towards
    /// max_builds.
    std::uint32_t internal_builds() const { return load_->internal_builds.load(std::memory_order_relaxed); }

    const worker_load& load() const { return *load_; }

private:
    friend class lease;
    const std::string name_;
    const endpoint address_;
    std::atomic<worker_weight> weight_;
    std::atomic<std::uint32_t> max_builds_;
    std::atomic<std::uint32_t> max_internal_builds_;
    const std::shared_ptr<worker_load> load_;
};

enum class build_kind : std::uint8_t { ordinary, internal };

}  // namespace buildkit_lb::balancer
