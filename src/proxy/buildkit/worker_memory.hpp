#pragma once

#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "balancer/worker.hpp"
#include "http2/header_list.hpp"

namespace buildkit_lb::proxy {

/// Which worker has something that a text names. Bounded: what was learned first is forgotten first. Any thread.
class worker_memory {
public:
    explicit worker_memory(std::size_t capacity) : capacity_{capacity} {}

    void learn(std::string_view what, const std::shared_ptr<balancer::worker>& where);
    std::shared_ptr<balancer::worker> find(const std::string& what) const;
    std::size_t size() const;

private:
    const std::size_t capacity_;
    mutable std::mutex mutex_;
    std::unordered_map<std::string, std::shared_ptr<balancer::worker>> known_;
    std::list<std::string> by_age_;  // oldest first
};

/// On which workers the builds of a trace ran, so that the client's own spans of it get there. Bounded likewise. Any
/// thread.
class trace_memory {
public:
    using workers = std::vector<std::shared_ptr<balancer::worker>>;

    explicit trace_memory(std::size_t capacity) : capacity_{capacity} {}

    /// A build whose Control/Solve has these headers runs on `where`.
    void learn(const http2::header_list& solve, const std::shared_ptr<balancer::worker>& where);
    /// The workers of all these traces, each once.
    workers find(const std::vector<std::string>& traces) const;
    std::size_t size() const;

private:
    const std::size_t capacity_;
    mutable std::mutex mutex_;
    std::unordered_map<std::string, workers> known_;
    std::list<std::string> by_age_;  // oldest first
};

}  // namespace buildkit_lb::proxy
