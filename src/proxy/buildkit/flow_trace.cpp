#include <algorithm>

#include "buildkit/trace_ids.hpp"
#include "proxy/buildkit/build_wait.hpp"
#include "proxy/buildkit/connection.hpp"
#include "proxy/buildkit/flows.hpp"
#include "proxy/buildkit/gather.hpp"

namespace buildkit_lb::proxy {

namespace asio = boost::asio;
using buildkit::grpc_code;

asio::awaitable<void> flow_trace_export(call_ptr c)
{
    auto message = co_await c->first_message();
    if (!message) {
        co_return;
    }
    auto& service = c->connection().service();
    const auto traces = buildkit::exported_traces(*message);
    auto workers = traces ? service.shared.traces.find(*traces) : trace_memory::workers{};
    const auto up = askable_workers(*service.shared.pool.workers->snapshot());
    std::erase_if(workers, [&](const auto& w) { return std::find(up.begin(), up.end(), w) == up.end(); });
    if (workers.empty()) {
        co_await flow_any(c);
        co_return;
    }
    if (workers.size() == 1) {
        co_await relay_to_worker(c, workers.front());
        co_return;
    }
    pool_call asked{c->connection(), c->method().label, own_request(c->headers()), std::move(*message),
                    service.pool_call_timeout};
    asked.ask(workers);
    // The first answers the client; all of them are to have the spans.
    const auto failures = co_await gather(asked, [&](const asked_worker&, std::string answer) { c->answer(answer); });
    if (failures.succeeded == 0) {
        c->end(failures.for_all(service.shared.pool.workers->name()));
    }
}

}  // namespace buildkit_lb::proxy
