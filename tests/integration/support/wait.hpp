#pragma once

#include <chrono>
#include <thread>

#include "core/types.hpp"

namespace buildkit_lb::test {

/// How long anything that has to happen may take. Generous: the machine may be busy, and sanitizers are slow.
inline constexpr duration patience = std::chrono::seconds{20};

/// How long is watched for what must not happen.
inline constexpr duration moment = std::chrono::milliseconds{200};

/// Waits until `condition`, which other threads make true. False when it did not come true in time.
template <class Condition>
bool eventually(Condition condition, duration at_most = patience)
{
    const auto deadline = clock::now() + at_most;
    while (!condition()) {
        if (clock::now() >= deadline) {
            return false;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds{1});
    }
    return true;
}

}  // namespace buildkit_lb::test
