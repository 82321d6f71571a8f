#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

namespace buildkit_lb::proxy {

/// What the workers of a pool answer to LLBBridge/Ping, learned from the answers that pass: a build that is not placed
/// yet gets its Ping answered from here. Any thread.
class pong_memory {
public:
    /// `pong` is a serialized PongResponse of `worker`.
    void learn(const std::string& worker, std::string_view pong);

    /// What every worker heard of can do, as a serialized PongResponse; nullopt when none was heard of.
    std::optional<std::string> common() const;

private:
    mutable std::mutex mutex_;
    std::map<std::string, std::string> pongs_;
    std::optional<std::string> common_;  // of pongs_, made when one of them changes
};

}  // namespace buildkit_lb::proxy
