#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "balancer/pool_snapshot.hpp"
#include "core/labels.hpp"
#include "core/platform.hpp"

namespace buildkit_lb::balancer {

/// How a pool treats platforms: `pools[].platform_routing` and `default_platform`.
struct platform_settings {
    bool routing = false;
    std::string default_platform;  ///< empty: the commonest native one
};

/// What a worker must have to take a build.
struct requirements {
    std::vector<std::string> platforms;  ///< all of them, in normal form; empty: the build names none
    bool any_platform = false;           ///< with none named: any will do, not only the pool's default one
    std::vector<label_map> labels;       ///< every label of every map: of the listener, of the build

    bool operator==(const requirements&) const = default;
};

/// How well a worker meets requirements; better is greater. `unknown`: it has not told of itself.
enum class fitness : std::uint8_t { none, unknown, emulated, native };

/// Which workers of a pool a build may go to by what they are, whatever their state: those that run its platform
/// natively, else those that emulate it, else those that have told nothing of themselves yet. A build that names no
/// platform goes to where the pool's default one is native, since BuildKit builds for the native platform of its
/// worker then. For one choice, under the pool's lock.
class fitting_workers {
public:
    fitting_workers(const pool_snapshot& of, const requirements& wanted, const platform_settings& settings);

    fitness of(const worker_view& view) const;

    /// Nothing is required, or all workers are alike and fit: no worker needs to be looked at.
    bool all() const { return all_; }

    /// For people, why `view` does not fit: `has linux/arm64`, `has disk=hdd`.
    std::string misfit(const worker_view& view) const;

    /// What is required, for people: `linux/amd64 (the default platform) and disk=ssd`.
    std::string text() const;

private:
    fitness platform_of(const worker_view& view) const;
    bool has_labels(const worker_view& view) const;

    const requirements& wanted_;
    std::string default_;  // the native platform it must have; empty: any
    bool routing_;
    bool all_ = false;
};

/// The native platform of most of those `views` that meet `labels`; the first of equals. Empty: none has told.
std::string commonest_platform(const std::vector<worker_view>& views, const std::vector<label_map>& labels);

/// The pool as if it had only the workers that meet `labels`.
std::shared_ptr<const pool_snapshot> narrowed(std::shared_ptr<const pool_snapshot> pool, const label_map& labels);

/// The value of a label of a worker: `platform`, else as it is configured, else as the worker says. Empty: it has none.
std::string_view label_of(const worker_view& view, std::string_view name);

}  // namespace buildkit_lb::balancer
