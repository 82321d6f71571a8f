#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "proxy/buildkit/worker_memory.hpp"

namespace buildkit_lb::proxy {

/// Which worker has the content of a digest: Content calls name no build, so it is learned from the history events that
/// pass. Bounded: the oldest are forgotten first. Any thread.
class digest_memory {
public:
    explicit digest_memory(std::size_t capacity) : known_{capacity} {}

    /// Learns every digest in `event`: a serialized BuildHistoryEvent of `where`, or whatever names what it has.
    void learn(std::string_view event, const std::shared_ptr<balancer::worker>& where);

    std::shared_ptr<balancer::worker> find(const std::string& digest) const { return known_.find(digest); }
    std::size_t size() const { return known_.size(); }

private:
    worker_memory known_;
};

}  // namespace buildkit_lb::proxy
