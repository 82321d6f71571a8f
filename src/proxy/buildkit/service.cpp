#include "proxy/buildkit/service.hpp"

#include "buildkit/affinity_key.hpp"
#include "core/log.hpp"

namespace buildkit_lb::proxy {

void buildkit_pool::sweep(time_point now)
{
    placement.expire(now);
    sessions.expire(now);
    auto& workers = *pool.workers;
    // A build that queues after its worker failed may find that one free again already: no event would tell it.
    workers.serve_queue();
    workers.expire_queue(now);
    for (const auto& invocation : stalls.find(workers.waiting_invocations(), builds.motions(), now)) {
        if (workers.admit_over_cap(invocation)) {
            log::info("a build gets a worker over its cap: running builds of its invocation wait for it",
                      {{"pool", workers.name()}, {"invocation", invocation}});
        }
    }
}

buildkit_service& buildkit_service::for_authority(std::string_view authority)
{
    buildkit_service* best = this;
    std::size_t best_length = 0;
    const std::string host = hosts.empty() ? std::string{} : buildkit::dialled_host(authority);
    for (const auto& route : hosts) {
        if (route.host == host) {
            return *route.served_by;
        }
        if (route.host.starts_with('*') && host.ends_with(std::string_view{route.host}.substr(1)) &&
            route.host.size() > best_length) {
            best = route.served_by;
            best_length = route.host.size();
        }
    }
    return *best;
}

}  // namespace buildkit_lb::proxy
