#pragma once

#include <string>
#include <vector>

#include "core/labels.hpp"

namespace buildkit_lb::balancer {

/// What a worker says of itself, learned by a health check that speaks BuildKit. Messages are kept serialized, as they
/// came, so that fields which this program does not know are passed on. Immutable once it is in a pool; any thread.
struct worker_facts {
    std::string id;                      ///< of its first record: tells whether two names are one daemon
    std::string version;                 ///< of buildkitd, for example `v0.34.2`; empty when it does not tell
    std::vector<std::string> platforms;  ///< of its first record, in normal form; the first is the native one
    label_map labels;                    ///< of its first record
    std::vector<std::string> records;    ///< serialized WorkerRecord, in the worker's order; never empty
    std::string info;                    ///< serialized InfoResponse; empty when the worker does not know Info
    std::string pong;                    ///< serialized PongResponse; empty when it is not known
};

}  // namespace buildkit_lb::balancer
