#pragma once

#include <string>

namespace buildkit_lb::buildkit {

/// What may be said of a pool none of whose workers has ever been seen: what the oldest BuildKit that is supported,
/// v0.13.0, would say of itself. Every worker that comes can do at least that. Pure; any thread.

/// A serialized PongResponse with the capabilities of v0.13.0 (its solver/pb/caps.go and frontend/gateway/pb/caps.go).
const std::string& oldest_pong();

/// A serialized WorkerRecord with the platform of this machine: clients want at least one record.
const std::string& unseen_worker_record();

}  // namespace buildkit_lb::buildkit
