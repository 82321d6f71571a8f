#include "balancer/build_queue.hpp"

#include <algorithm>

namespace buildkit_lb::balancer {

void build_queue::add(const entry& build, bool ahead)
{
    auto& key = keys_[build->key];
    ++key.waiting;
    build->at.arrival = ++arrivals_;
    if (ahead) {
        build->at.turn = 0;
    } else {
        key.last_turn = std::max(key.last_turn, turn_) + 1;
        build->at.turn = key.last_turn;
    }
    order_.emplace(build->at, build);
    renumber();
}

void build_queue::serve(const entry& build)
{
    turn_ = std::max(turn_, build->at.turn);
    remove(*build);
}

bool build_queue::remove(const waiting_build& build)
{
    const auto found = order_.find(build.at);
    if (found == order_.end() || found->second.get() != &build) {
        return false;
    }
    const auto key = keys_.find(build.key);
    if (--key->second.waiting == 0) {
        keys_.erase(key);
    }
    order_.erase(found);
    renumber();
    return true;
}

void build_queue::renumber()
{
    std::uint32_t position = 0;
    for (const auto& [rank, build] : order_) {
        build->position.store(++position, std::memory_order_relaxed);
        build->length.store(static_cast<std::uint32_t>(order_.size()), std::memory_order_relaxed);
    }
}

}  // namespace buildkit_lb::balancer
