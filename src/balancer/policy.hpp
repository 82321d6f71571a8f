#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "balancer/pick.hpp"
#include "balancer/warm_key.hpp"
#include "balancer/worker_table.hpp"

namespace buildkit_lb::balancer {

/// What `pools[].affinity` says of how keys are kept on their workers.
struct affinity_settings {
    double load_factor = 1.25;
    std::uint32_t spill_after = 4;  ///< builds of a worker that are never too many
    std::size_t memory = 100'000;   ///< keys whose warm workers are known
    duration warmth_ttl = std::chrono::hours{24 * 7};
};

/// What a policy chose, and why in one word (a metric label).
struct choice {
    std::size_t index = 0;  ///< of the worker
    std::string_view reason;
};

/// Chooses one of the workers that may take a build. Not thread-safe: the pool calls it under its lock.
class policy {
public:
    virtual ~policy() = default;

    /// The name users write in the configuration.
    virtual std::string_view name() const = 0;

    /// These are the pool's workers from now on: called before the first choose(), and whenever the set changes.
    virtual void use(const worker_table& /*workers*/) {}

    /// Chooses among those that may take the build; a worker that was tried for the same build and failed may not.
    /// nullopt: nobody may.
    virtual std::optional<choice> choose(const candidates& from, const pick_context& context) = 0;

    /// Somebody who may take the build is known to have what it needs in the cache.
    virtual bool is_warm(const candidates& /*from*/, const pick_context& /*context*/) { return false; }

    /// A build of `key` has gone well on `worker`; `cached_share` of its steps came from the cache.
    virtual void built(std::string_view /*key*/, std::string_view /*worker*/, double /*cached_share*/,
                       time_point /*now*/)
    {
    }

    /// Keys that are remembered.
    virtual std::size_t remembered() const { return 0; }

    /// What a policy remembers, over a restart: see warmth_memory. A pass begins with `from_start`.
    virtual std::uint64_t changes() const { return 0; }
    virtual std::vector<warm_key> copy_some(bool /*from_start*/, std::size_t /*most*/, time_point /*now*/)
    {
        return {};
    }
    virtual void restore(warm_key /*from*/, time_point /*now*/) {}
};

}  // namespace buildkit_lb::balancer
