#pragma once

#include <memory>

#include "health/probe.hpp"
#include "health/unary_call.hpp"

namespace buildkit_lb::health {

/// Probes over gRPC: each has a `WorkerProbe` that is made from its worker at the first time and kept for the next
/// ones. `tls` is null for workers in the clear.
template <class WorkerProbe>
probe_maker make_kept_probes(std::shared_ptr<const tls::client_context> tls)
{
    struct kept {
        std::shared_ptr<grpc_library> library;  // outlives the channels
        std::shared_ptr<const tls::client_context> tls;
        std::unique_ptr<WorkerProbe> of_worker;
    };
    return [library = std::make_shared<grpc_library>(), tls = std::move(tls)]() -> probe {
        auto state = std::make_shared<kept>(kept{library, tls, nullptr});
        return [state = std::move(state)](const balancer::worker& w, duration timeout) {
            if (!state->of_worker) {
                state->of_worker = std::make_unique<WorkerProbe>(w, state->tls.get());
            }
            return state->of_worker->run(timeout);
        };
    };
}

}  // namespace buildkit_lb::health
