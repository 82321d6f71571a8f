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
    boost::asio::awaitable<probe_result> run(const balancer::worker& w, duration timeout)
    {
        auto& of = of_[&w];
        if (!of) {
            of = std::make_unique<WorkerProbe>(w);
        }
        return of->run(timeout);
    }

private:
    grpc_library library_;  // outlives the channels
    std::map<const balancer::worker*, std::unique_ptr<WorkerProbe>> of_;
};

/// All of them as one probe.
template <class WorkerProbe>
probe make_kept_probe()
{
    return [probes = std::make_shared<kept_probes<WorkerProbe>>()](const balancer::worker& w, duration timeout) {
        return probes->run(w, timeout);
    };
}

}  // namespace buildkit_lb::health
