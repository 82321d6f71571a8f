#include "health/pace.hpp"

#include <algorithm>
#include <chrono>

namespace buildkit_lb::health {

duration pause_between_probes(duration interval, duration spent, double random)
{
    constexpr double jitter = 0.2;
    const auto apart = std::chrono::duration<double>{interval} * (1 - jitter * random);
    return std::max(std::chrono::duration_cast<duration>(apart) - spent, duration::zero());
}

}  // namespace buildkit_lb::health
