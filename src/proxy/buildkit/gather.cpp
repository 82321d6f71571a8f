#include "proxy/buildkit/gather.hpp"

#include "core/log.hpp"
#include "proxy/buildkit/connection.hpp"

namespace buildkit_lb::proxy {

namespace asio = boost::asio;
using buildkit::grpc_code;

bool fail_without_workers(call& c, const std::vector<std::shared_ptr<balancer::worker>>& workers)
{
    if (workers.empty()) {
        c.fail(grpc_code::unavailable,
               "buildkit-lb: " + c.connection().service().shared.pool.workers->explain_no_pick({}));
    }
    return workers.empty();
}

void pool_failures::note(const asked_worker& ended)
{
    if (ended.ended()->code == grpc_code::ok) {
        ++succeeded;
    } else {
        all.push_back({ended.worker, *ended.ended(), ended.answered()});
    }
}

buildkit::grpc_ending pool_failures::for_all(const std::string& pool) const
{
    std::vector<buildkit::grpc_ending> own;
    for (const auto& each : all) {
        if (each.answered) {
            own.push_back(each.how);
        }
    }
    if (!own.empty()) {
        return buildkit::most_telling(own);
    }
    return {grpc_code::unavailable, "buildkit-lb: no worker of pool " + pool + " has answered: " + text(), {}};
}

std::string pool_failures::text() const
{
    std::string text;
    for (const auto& each : all) {
        text += (text.empty() ? "" : "; ") + each.worker->name() + ": " + each.how.message;
    }
    return text;
}

asio::awaitable<pool_failures> gather(pool_call& asked, std::function<void(const asked_worker&, std::string)> use)
{
    pool_failures failures;
    while (auto* w = co_await asked.next()) {
        if (auto message = w->take()) {
            use(*w, std::move(*message));
        } else {
            failures.note(*w);
        }
    }
    co_return failures;
}

void log_partial(const pool_failures& failures, const std::string& pool, std::string_view method)
{
    for (const auto& one : failures.all) {
        if (one.answered) {
            log::warn("a worker answered a call to the whole pool with an error",
                      {{"pool", pool},
                       {"worker", one.worker->name()},
                       {"method", method},
                       {"code", buildkit::name(one.how.code)},
                       {"error", one.how.message}});
        }
    }
}

}  // namespace buildkit_lb::proxy
