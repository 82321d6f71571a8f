#include "balancer/lease.hpp"

#include "balancer/pool.hpp"

namespace buildkit_lb::balancer {

lease::lease(std::shared_ptr<worker> w, build_kind kind, std::weak_ptr<pool> told)
    : worker_{std::move(w)}, kind_{kind}, told_{std::move(told)}
{
    counter().fetch_add(1, std::memory_order_relaxed);
}

lease::~lease()
{
    if (!worker_) {
        return;
    }
    counter().fetch_sub(1, std::memory_order_relaxed);
    if (kind_ == build_kind::ordinary) {
        if (const auto told = told_.lock()) {
            told->serve_queue();
        }
    }
}

std::atomic<std::uint32_t>& lease::counter()
{
    return kind_ == build_kind::ordinary ? worker_->load_->builds : worker_->load_->internal_builds;
}

}  // namespace buildkit_lb::balancer
