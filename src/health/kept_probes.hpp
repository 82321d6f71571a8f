#pragma once

#include <map>
#include <memory>

#include "health/probe.hpp"
#include "health/unary_call.hpp"

namespace buildkit_lb::health {

/// The probes of a pool's workers over gRPC: one `WorkerProbe` for each, made from its worker at the first and kept for
/// the next ones. Those of workers that have left the pool stay until it goes.
template <class WorkerProbe>
class kept_probes {
public:
    explicit kept_probes(std::shared_ptr<const tls::client_context> tls) : tls_{std::move(tls)} {}

    boost::asio::awaitable<probe_result> run(const balancer::worker& w, duration timeout)
    {
        auto& of = of_[&w];
        if (!of) {
            of = std::make_unique<WorkerProbe>(w, tls_.get());
        }
        return of->run(timeout);
    }

private:
    grpc_library library_;  // outlives the channels
    const std::shared_ptr<const tls::client_context> tls_;
    std::map<const balancer::worker*, std::unique_ptr<WorkerProbe>> of_;
};

/// All of them as one probe. `tls` is null for workers in the clear.
template <class WorkerProbe>
probe make_kept_probe(std::shared_ptr<const tls::client_context> tls)
{
    return [probes = std::make_shared<kept_probes<WorkerProbe>>(std::move(tls))](
               const balancer::worker& w, duration timeout) { return probes->run(w, timeout); };
}

}  // namespace buildkit_lb::health
