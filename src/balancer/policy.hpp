#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "balancer/worker.hpp"

namespace buildkit_lb::balancer {

/// What a policy chose, and why in one word (a metric label).
struct choice {
    std::size_t index = 0;  ///< into the candidates it was handed
    std::string_view reason;
};

/// Chooses one of the workers that may take a build. Not thread-safe: the pool calls it under its lock.
class policy {
public:
    virtual ~policy() = default;

    /// The name users write in the configuration.
    virtual std::string_view name() const = 0;

    /// `candidates` is not empty, holds eligible workers only, and keeps the order of the configuration; a worker that
    /// was tried for the same build and failed is no longer in it.
    virtual choice choose(std::span<const std::shared_ptr<worker>> candidates) = 0;
};

}  // namespace buildkit_lb::balancer
