#pragma once

#include <cstdint>
#include <string_view>

#include "core/types.hpp"

namespace buildkit_lb::balancer {

/// Weighted rendezvous hashing (highest random weight: D. Thaler and C. V. Ravishankar, 1998; weights by the
/// logarithmic method: C. Schindelhauer and G. Schomaker, 2005): each worker gets a score for a key, the highest is the
/// key's home. When a worker is added, only the keys it wins move; when one goes, only its own.
///
/// The hash is part of the contract between replicas and restarts, so it does not change: FNV-1a of the bytes, 64 bits,
/// mixed by the finalizer of SplitMix64. Pure; any thread.

/// The hash of a key or of a worker's name.
std::uint64_t rendezvous_hash(std::string_view text);

/// The score of a worker for a key: greater is better. Equal weights compare as the mixed hashes do.
double rendezvous_score(std::uint64_t key, std::uint64_t worker, worker_weight weight);

}  // namespace buildkit_lb::balancer
