#include "proxy/buildkit/pong_memory.hpp"

#include <utility>
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
    std::string before = std::exchange(known, std::string{pong});
    std::vector<std::string_view> all;
    for (const auto& [name, bytes] : pongs_) {
        all.emplace_back(bytes);
    }
    if (auto common = buildkit::intersect_pongs(all)) {
        common_ = std::move(*common);
    } else if (before.empty()) {
        pongs_.erase(worker);
    } else {
        known = std::move(before);
    }
}

std::optional<std::string> pong_memory::common() const
{
    const std::lock_guard lock{mutex_};
    return common_;
}

}  // namespace buildkit_lb::proxy
