#include "proxy/buildkit/digest_memory.hpp"

namespace buildkit_lb::proxy {
namespace {

constexpr std::string_view prefix = "sha256:";
constexpr std::size_t digest_size = prefix.size() + 64;

}  // namespace

void digest_memory::learn(std::string_view event, const std::shared_ptr<balancer::worker>& where)
{
    // Descriptors stand in many places of a record and in new ones with each version; every digest in it is this
    // worker's, so no place needs to be known.
    for (auto at = event.find(prefix); at != std::string_view::npos; at = event.find(prefix, at + 1)) {
        const std::string_view digest = event.substr(at, digest_size);
        if (digest.size() < digest_size ||
            digest.find_first_not_of("0123456789abcdef", prefix.size()) != std::string_view::npos) {
            continue;
        }
        known_.learn(digest, where);
    }
}

}  // namespace buildkit_lb::proxy
