#pragma once

#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "balancer/worker.hpp"

namespace buildkit_lb::proxy {

/// Which worker has the content of a digest: Content calls name no build, so it is learned from the history events that
/// pass. Bounded: the oldest are forgotten first. Any thread.
class digest_memory {
public:
    explicit digest_memory(std::size_t capacity) : capacity_{capacity} {}

    /// Learns every digest that a serialized BuildHistoryEvent of `where` names.
    void learn(std::string_view event, const std::shared_ptr<balancer::worker>& where);

    std::shared_ptr<balancer::worker> find(const std::string& digest) const;
    std::size_t size() const;

private:
    const std::size_t capacity_;
    mutable std::mutex mutex_;
    std::unordered_map<std::string, std::shared_ptr<balancer::worker>> known_;
    std::list<std::string> by_age_;  // oldest first
};

}  // namespace buildkit_lb::proxy
