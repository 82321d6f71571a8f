#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "balancer/pick.hpp"
#include "balancer/pool_snapshot.hpp"
#include "balancer/requirements.hpp"

namespace buildkit_lb::balancer {

/// How many builds the workers may have before they can't take another one: find_obstacle() and fitting_workers as
/// numbers. Where every worker that could take the build is ejected, ejections don't count (Envoy's panic mode): such a
/// worker passes its health checks, and a try there is better than no build. They change with the snapshot and not with
/// every build, so they are kept between picks for builds that want the same. Guarded by the pool's lock.
class open_workers {
public:
    explicit open_workers(platform_settings platforms) : platforms_{std::move(platforms)} {}

    /// For each worker of the snapshot: at so many builds of the context's kind it is full. 0: it may not take the
    /// build whatever its load is. Good until the next call.
    std::span<const std::uint32_t> limits(const std::shared_ptr<const pool_snapshot>& snapshot,
                                          const pick_context& context);

private:
    struct kept {
        build_kind kind = build_kind::ordinary;
        requirements needs;
        std::vector<std::uint32_t> limits;
    };
    /// Of builds with other needs than these, the one kept for longest is forgotten.
    static constexpr std::size_t max_kept = 16;

    void fill(std::vector<std::uint32_t>& limits, const pool_snapshot& snapshot, const pick_context& context) const;
    /// True: nobody may take the build, and ejected workers were passed over.
    bool fill_once(std::vector<std::uint32_t>& limits, const pool_snapshot& snapshot,
                   const pick_context& context) const;

    platform_settings platforms_;
    std::shared_ptr<const pool_snapshot> kept_for_;
    std::vector<kept> kept_;            // for builds that were tried nowhere, keep to caps, and to workers that are up
    std::vector<std::uint32_t> other_;  // for other ones
};

}  // namespace buildkit_lb::balancer
