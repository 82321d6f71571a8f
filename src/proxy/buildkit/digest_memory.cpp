#include "proxy/buildkit/digest_memory.hpp"

namespace buildkit_lb::proxy {
namespace {

constexpr std::string_view prefix = "sha256:";
constexpr std::size_t digest_size = prefix.size() + 64;

}  // namespace

void digest_memory::learn(std::string_view event, const std::shared_ptr<balancer::worker>& where)
{
    const std::lock_guard lock{mutex_};
    // Descriptors stand in many places of a record and in new ones with each version; every digest in it is this
    // worker's, so no place needs to be known.
    for (auto at = event.find(prefix); at != std::string_view::npos; at = event.find(prefix, at + 1)) {
        const std::string_view digest = event.substr(at, digest_size);
        if (digest.size() < digest_size ||
            digest.find_first_not_of("0123456789abcdef", prefix.size()) != std::string_view::npos) {
            continue;
        }
        const auto [known, is_new] = known_.insert_or_assign(std::string{digest}, where);
        if (is_new) {
            by_age_.push_back(known->first);
            if (by_age_.size() > capacity_) {
                known_.erase(by_age_.front());
                by_age_.pop_front();
            }
        }
    }
}

std::shared_ptr<balancer::worker> digest_memory::find(const std::string& digest) const
{
    const std::lock_guard lock{mutex_};
    const auto found = known_.find(digest);
    return found != known_.end() ? found->second : nullptr;
}

std::size_t digest_memory::size() const
{
    const std::lock_guard lock{mutex_};
    return known_.size();
}

}  // namespace buildkit_lb::proxy
