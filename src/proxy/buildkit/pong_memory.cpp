#include "proxy/buildkit/pong_memory.hpp"

#include <vector>

#include "buildkit/pong.hpp"

namespace buildkit_lb::proxy {

void pong_memory::learn(const std::string& worker, std::string_view pong)
{
    const std::lock_guard lock{mutex_};
    std::string& known = pongs_[worker];
    if (known == pong && common_) {
        return;
    }
    known = pong;
    std::vector<std::string_view> all;
    for (const auto& [name, bytes] : pongs_) {
        all.emplace_back(bytes);
    }
    const auto common = buildkit::intersect_pongs(all);
    if (common) {
        common_ = *common;
    } else {
        pongs_.erase(worker);
    }
}

std::optional<std::string> pong_memory::common() const
{
    const std::lock_guard lock{mutex_};
    return common_;
}

}  // namespace buildkit_lb::proxy
