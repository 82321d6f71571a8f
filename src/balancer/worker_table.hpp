#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "balancer/slow_start.hpp"
#include "balancer/worker.hpp"

namespace buildkit_lb::balancer {

/// The workers of a pool in columns: what a pick looks at lies side by side, so that thousands of workers are looked at
/// in microseconds. In the order of the configuration. Made by the pool when its set of workers changes; guarded by the
/// pool's lock.
class worker_table {
public:
    using worker_ptr = std::shared_ptr<balancer::worker>;

    worker_table() = default;
    explicit worker_table(std::vector<worker_ptr> workers);

    std::size_t size() const { return workers_.size(); }
    const worker_ptr& worker_at(std::size_t index) const { return workers_[index]; }
    /// Its configured weight, times slow_start::unit.
    std::uint32_t weight(std::size_t index) const { return weights_[index]; }
    std::span<const std::uint32_t> weights() const { return weights_; }
    /// Builds on it now, by kind.
    std::uint32_t builds(std::size_t index, build_kind kind) const
    {
        const auto& load = *loads_[index];
        return (kind == build_kind::ordinary ? load.builds : load.internal_builds).load(std::memory_order_relaxed);
    }

    /// The worker of that name.
    std::optional<std::size_t> find(std::string_view name) const;

private:
    std::vector<worker_ptr> workers_;
    std::vector<const worker_load*> loads_;  // the workers', which lie side by side too
    std::vector<std::uint32_t> weights_;
    std::unordered_map<std::string_view, std::size_t> by_name_;
};

/// The workers of a pool as they are for one build: all of them, by their index in the table, and which may take it.
/// Good for as long as the pool is locked.
class candidates {
public:
    /// `limits`: for each worker, the builds of that kind at which it may not take another one (see open_workers).
    /// `weights`: of each at this moment, in the unit of the table; none: all have their whole weight.
    candidates(const worker_table& all, std::span<const std::uint32_t> limits, build_kind kind = build_kind::ordinary,
               std::span<const std::uint32_t> weights = {})
        : all_{all}, limits_{limits}, weights_{weights.empty() ? all.weights() : weights}, kind_{kind}
    {
    }

    const worker_table& all() const { return all_; }
    std::size_t size() const { return all_.size(); }
    std::uint32_t builds(std::size_t index) const { return all_.builds(index, kind_); }
    /// How large a share of the builds it gets now, relative to the others.
    std::uint32_t weight(std::size_t index) const { return weights_[index]; }

    bool may_take(std::size_t index) const { return builds(index) < limits_[index]; }
    bool any() const;

    /// Replaces `out` by those that may take it.
    void list(std::vector<std::uint32_t>& out) const;

    /// Builds and weights of those that may take it.
    struct sums {
        std::uint64_t builds = 0;
        std::uint64_t weights = 0;
    };
    sums sum() const;

private:
    const worker_table& all_;
    const std::span<const std::uint32_t> limits_;
    const std::span<const std::uint32_t> weights_;
    const build_kind kind_;
};

}  // namespace buildkit_lb::balancer
