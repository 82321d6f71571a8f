#pragma once

#include <deque>
#include <string>
#include <string_view>

#include "buildkit/build_recording.hpp"

namespace buildkit_lb::proxy {

/// Small content of build records that a client is about to read, so that it can be read also from a worker that is
/// lost meanwhile. Bounded by the client's budget of recordings: the oldest is dropped first. Owned by a client's
/// connection, on its thread; the budget outlives it.
class kept_content {
public:
    explicit kept_content(buildkit::recording_budget& budget) : budget_{budget} {}
    kept_content(const kept_content&) = delete;
    kept_content& operator=(const kept_content&) = delete;
    ~kept_content();

    void keep(std::string digest, std::string bytes);

    /// Null: not kept. Valid until the next keep().
    const std::string* find(std::string_view digest) const;

private:
    struct item {
        std::string digest;
        std::string bytes;
        std::size_t size() const { return digest.size() + bytes.size(); }
    };
    void drop_oldest();

    buildkit::recording_budget& budget_;
    std::deque<item> items_;  // oldest first
};

}  // namespace buildkit_lb::proxy
