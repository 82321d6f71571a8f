#include "proxy/buildkit/kept_content.hpp"

#include <algorithm>
#include <utility>

namespace buildkit_lb::proxy {

kept_content::~kept_content()
{
    while (!items_.empty()) {
        drop_oldest();
    }
}

void kept_content::keep(std::string digest, std::string bytes)
{
    item kept{std::move(digest), std::move(bytes)};
    if (find(kept.digest) != nullptr) {
        return;
    }
    while (!items_.empty() && budget_.used + kept.size() > budget_.limit) {
        drop_oldest();
    }
    if (budget_.used + kept.size() > budget_.limit) {
        return;
    }
    budget_.add(kept.size());
    items_.push_back(std::move(kept));
}

const std::string* kept_content::find(std::string_view digest) const
{
    const auto found = std::find_if(items_.begin(), items_.end(), [&](const item& i) { return i.digest == digest; });
    return found == items_.end() ? nullptr : &found->bytes;
}

void kept_content::drop_oldest()
{
    budget_.remove(items_.front().size());
    items_.pop_front();
}

}  // namespace buildkit_lb::proxy
