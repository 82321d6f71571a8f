#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

#include "buildkit/build_status.hpp"
#include "core/types.hpp"

namespace buildkit_lb::proxy {

/// What is known of one build while it runs: shared by the thread of its Solve, which makes it, and those of its
/// Status streams.
class build_record {
public:
    // Written by the thread of Solve before the build is placed, constant afterwards.
    std::string ref;
    std::string worker;
    std::string policy;
    std::string reason;
    bool internal = false;
    bool linked = false;            ///< its request looks like it takes another build as an input
    bool linked_to_parent = false;  ///< and it was placed with it
    std::size_t sessions = 0;
    time_point arrived;
    time_point placed;

    /// A StatusResponse of the worker's has passed. Any thread.
    void status_message(std::string_view message);
    buildkit::status_totals totals() const;

    void status_opened();
    void status_closed();
    /// `then` is called once no Status stream of the build is open; at once if none is.
    void when_status_closed(std::function<void(bool)> then);

private:
    mutable std::mutex mutex_;
    buildkit::build_status status_;
    int open_status_streams_ = 0;
    std::function<void(bool)> on_status_closed_;
};

/// The running builds by their Ref. Any thread.
class build_registry {
public:
    std::shared_ptr<build_record> add(const std::string& ref);
    void remove(const std::string& ref);
    std::shared_ptr<build_record> find(const std::string& ref) const;
    std::size_t size() const;

private:
    mutable std::mutex mutex_;
    std::unordered_map<std::string, std::shared_ptr<build_record>> builds_;
};

}  // namespace buildkit_lb::proxy
