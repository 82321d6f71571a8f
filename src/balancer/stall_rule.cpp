#include "balancer/stall_rule.hpp"

#include <utility>

namespace buildkit_lb::balancer {

std::vector<std::string> stall_rule::find(const std::vector<std::string>& waiting,
                                          const std::vector<build_motion>& running, time_point now)
{
    std::set<std::string> still_suspect;
    std::vector<std::string> stalled;
    for (const auto& invocation : waiting) {
        const bool suspect = suspects_.contains(invocation);
        const duration enough = suspect ? patience_.next : patience_.first;
        bool any = false;
        bool all_still = true;
        for (const auto& build : running) {
            if (build.invocation == invocation) {
                any = true;
                all_still = all_still && !build.busy && now - build.last_moved >= enough;
            }
        }
        if (any && all_still) {
            stalled.push_back(invocation);
        }
        if (suspect || (any && all_still)) {
            still_suspect.insert(invocation);
        }
    }
    suspects_ = std::move(still_suspect);
    return stalled;
}

}  // namespace buildkit_lb::balancer
