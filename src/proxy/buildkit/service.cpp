#include "proxy/buildkit/service.hpp"

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

}  // namespace buildkit_lb::proxy
