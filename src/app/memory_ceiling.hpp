#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace buildkit_lb::app {

/// Decides when new connections wait because the process has grown too large, and when no longer. Pure; on the control
/// thread. What is looked at is resident memory, because that is what the kernel kills for.
class memory_ceiling {
public:
    /// In bytes; 0: none.
    void set_limit(std::uint64_t limit);
    std::uint64_t limit() const { return limit_; }

    /// New connections would have to wait, or go on waiting, if the process had so many bytes.
    bool is_reached_at(std::uint64_t resident) const;

    /// It has so many now. True when that has changed reached().
    bool observe(std::uint64_t resident);

    /// New connections wait: the limit was reached, and there is not yet some room below it again.
    bool reached() const { return reached_; }

private:
    std::uint64_t limit_ = 0;
    bool reached_ = false;
};

/// What the processes of this control group may use before the kernel ends one: the least of the machine's memory and
/// of what control groups (v1 or v2) allow, here and above. `root` is where `proc` and `sys` are found.
std::uint64_t available_memory(const std::string& root = "");

/// The bound that `limits.memory` stands for; 0: none. nullopt (`auto`): 80% of `available`, which leaves room for what
/// a bound that is sampled lets pass.
std::uint64_t memory_limit_of(std::optional<std::uint64_t> configured, std::uint64_t available);

}  // namespace buildkit_lb::app
