#pragma once

#include <memory>

#include "health/probe.hpp"
#include "health/worker_channel.hpp"

namespace buildkit_lb::health {

/// Probes over gRPC: each has a `WorkerProbe` that is made from its worker and the channel to it at the first time and
/// kept for the next ones. `tls` is null for workers in the clear.
template <class WorkerProbe>
probe_maker make_kept_probes(std::shared_ptr<const tls::client_context> tls)
{
    return [library = grpc_library::shared(), tls = std::move(tls)]() -> probe {
        // One for all copies of the function.
        auto kept = std::make_shared<std::unique_ptr<WorkerProbe>>();
        return [library, tls, kept](const balancer::worker& w, duration timeout) {
            if (!*kept) {
                *kept = std::make_unique<WorkerProbe>(w, std::make_unique<worker_channel>(library, w.address(), tls));
            }
            return (*kept)->run(timeout);
        };
    };
}

}  // namespace buildkit_lb::health
