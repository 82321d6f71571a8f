#pragma once

#include <string>
#include <vector>

#include "core/types.hpp"

namespace buildkit_lb::balancer {

/// A worker that has built a key.
struct warm_worker {
    std::string worker;
    time_point built;         ///< the end of its latest build
    double cached_share = 0;  ///< of the steps of its latest build: 0 to 1
};

/// A key and the workers that are warm for it, warmest first: what is kept of it over a restart.
struct warm_key {
    std::string key;
    std::vector<warm_worker> workers;
};

}  // namespace buildkit_lb::balancer
