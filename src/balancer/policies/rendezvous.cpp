#include "balancer/policies/rendezvous.hpp"

#include <cmath>

namespace buildkit_lb::balancer {
namespace {

std::uint64_t mixed(std::uint64_t x)
{
    x ^= x >> 30U;
    x *= 0xbf58476d1ce4e5b9U;
    x ^= x >> 27U;
    x *= 0x94d049bb133111ebU;
    x ^= x >> 31U;
    return x;
}

}  // namespace

std::uint64_t rendezvous_hash(std::string_view text)
{
    std::uint64_t hash = 0xcbf29ce484222325U;
    for (const char c : text) {
        hash ^= static_cast<unsigned char>(c);
        hash *= 0x100000001b3U;
    }
    return mixed(hash);
}

double rendezvous_score(std::uint64_t key, std::uint64_t worker, worker_weight weight)
{
    // 53 bits make a number of (0, 1): its logarithm, divided by the weight, is exponentially distributed with that
    // rate.
    const std::uint64_t bits = mixed(key ^ (worker + 0x9e3779b97f4a7c15U)) >> 11U;
    const double uniform = (static_cast<double>(bits) + 0.5) * 0x1p-53;
    return std::log(uniform) / weight.value;
}

}  // namespace buildkit_lb::balancer
