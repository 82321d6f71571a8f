#include <chrono>
#include <unordered_set>

#include "balancer/obstacle.hpp"
#include "buildkit/history_events.hpp"
#include "buildkit/solve_info.hpp"
#include "buildkit/wire_time.hpp"
#include "proxy/buildkit/build_wait.hpp"
#include "proxy/buildkit/connection.hpp"
#include "proxy/buildkit/ended_build.hpp"
#include "proxy/buildkit/flows.hpp"
#include "proxy/buildkit/gather.hpp"
#include "proxy/buildkit/history_follower.hpp"

namespace buildkit_lb::proxy {

namespace asio = boost::asio;
using buildkit::grpc_code;
using buildkit::method;

namespace {

constexpr std::string_view listen_path = "/moby.buildkit.v1.Control/ListenBuildHistory";

/// The worker of a build that ran through the balancer, or that was seen in a worker's history.
std::shared_ptr<balancer::worker> worker_of(buildkit_pool& pool, const std::string& ref)
{
    if (ref.empty()) {
        return nullptr;
    }
    auto where = pool.placement.find(ref);
    return where ? where : pool.refs.find(ref);
}

/// What is known of builds at this moment, from all workers.
asio::awaitable<void> snapshot_of_all(call_ptr c, buildkit::history_request what, std::string message)
{
    auto& service = c->connection().service();
    auto& pool = *service.shared.pool.workers;
    pool_call asked{c->connection(), c->method().label, own_request(c->headers()), std::move(message),
                    service.pool_call_timeout};
    asked.ask(askable_workers(*pool.snapshot()));
    c->begin_answer(history_headers());
    buildkit::history_batch batch{what.limit};
    std::unordered_set<std::uint64_t> seen;
    const balancer::worker* found_on = nullptr;
    pool_failures failures;
    while (auto* w = co_await asked.next()) {
        auto bytes = w->take();
        if (!bytes) {
            failures.note(*w);
            if (!what.ref.empty() && w->worker.get() == found_on) {
                break;  // a build is on one worker
            }
            continue;
        }
        if (auto event = learn_event(service.shared, w->worker, std::move(*bytes))) {
            found_on = w->worker.get();
            if (seen.insert(event->identity).second) {
                batch.add(std::move(*event));
            }
        }
        if (batch.bytes() > max_gathered) {
            auto events = batch.take();
            co_await tell_events(c, std::move(events));
        }
    }
    if (failures.succeeded == 0 && found_on == nullptr) {
        c->end(failures.for_all(pool.name()));
        co_return;
    }
    log_partial(failures, pool.name(), c->method().label);
    auto events = batch.take();
    co_await tell_events(c, std::move(events));
    c->end({grpc_code::ok, {}, {}});
}

/// A change that one worker has to make: nobody knows which.
asio::awaitable<void> update_on_all(call_ptr c, std::string message)
{
    auto& service = c->connection().service();
    pool_call asked{c->connection(), c->method().label, own_request(c->headers()), std::move(message),
                    service.pool_call_timeout};
    asked.ask(askable_workers(*service.shared.pool.workers->snapshot()));
    std::string done;
    const auto failures =
        co_await gather(asked, [&](const asked_worker&, std::string answer) { done = std::move(answer); });
    if (failures.succeeded != 0) {
        c->answer(done);
    } else {
        c->end(failures.for_all(service.shared.pool.workers->name()));
    }
}

}  // namespace

http2::header_list history_headers()
{
    http2::header_list fields;
    fields.add(buildkit::timestamp_header, buildkit::rfc3339(std::chrono::system_clock::now()));
    return fields;
}

std::optional<buildkit::history_event> learn_event(buildkit_pool& pool, const std::shared_ptr<balancer::worker>& from,
                                                   std::string bytes)
{
    pool.digests.learn(bytes, from);
    auto event = buildkit::parse_history_event(std::move(bytes));
    if (event && !event->ref.empty() && event->type != buildkit::history_event_type::deleted) {
        pool.refs.learn(event->ref, from);
    }
    return event;
}

asio::awaitable<void> flow_listen_history(call_ptr c)
{
    auto message = co_await c->first_message();
    if (!message) {
        co_return;
    }
    auto& shared = c->connection().service().shared;
    const auto what = buildkit::parse_history_request(*message);
    if (!what) {
        c->fail(grpc_code::internal, "buildkit-lb: " + what.error().detail);
        co_return;
    }
    const auto where = worker_of(shared, what->ref);
    const bool gone = where && balancer::is_going_away(*shared.pool.workers->snapshot(), *where);
    // Each invocation of buildx asks for a Ref that no build has, whether there is a history. And a build that has just
    // ended well is not to fail because its worker, which was told to stop and has ended it all the same, takes no new
    // call (see ended_build.hpp).
    if (what->early_exit && (what->ref == buildkit::history_probe_ref || gone)) {
        c->begin_answer(history_headers());
        c->end({grpc_code::ok, {}, {}});
        co_return;
    }
    if (where && what->early_exit) {
        co_await tell_of_ended_build(c, where, std::move(*message));
        co_return;
    }
    if (where) {
        c->on_answer_message = [&shared, where](std::string_view event) { shared.digests.learn(event, where); };
        co_await relay_to_worker(c, where);
        co_return;
    }
    if (fail_without_workers(*c, askable_workers(*shared.pool.workers->snapshot()))) {
        co_return;
    }
    auto flow = what->early_exit ? snapshot_of_all(c, *what, std::move(*message))
                                 : follow_history(c, *what, std::move(*message));
    co_await std::move(flow);
}

asio::awaitable<void> flow_update_history(call_ptr c)
{
    auto message = co_await c->first_message();
    if (!message) {
        co_return;
    }
    auto& shared = c->connection().service().shared;
    const auto ref = buildkit::parse_update_history_ref(*message);
    const auto where = ref ? worker_of(shared, *ref) : nullptr;
    if (where) {
        co_await relay_to_worker(c, where);
    } else if (!fail_without_workers(*c, askable_workers(*shared.pool.workers->snapshot()))) {
        co_await update_on_all(c, std::move(*message));
    }
}

asio::awaitable<std::shared_ptr<balancer::worker>> find_in_history(call_ptr c, std::string ref)
{
    auto& service = c->connection().service();
    if (auto known = service.shared.refs.find(ref)) {
        co_return known;
    }
    pool_call asked{c->connection(), "moby.buildkit.v1.Control/ListenBuildHistory",
                    own_request(c->headers(), listen_path), buildkit::history_search(ref), service.pool_call_timeout};
    asked.ask(askable_workers(*service.shared.pool.workers->snapshot()));
    while (auto* w = co_await asked.next()) {
        auto bytes = w->take();
        const auto event = bytes ? learn_event(service.shared, w->worker, std::move(*bytes)) : std::nullopt;
        if (event && event->ref == ref && event->type != buildkit::history_event_type::deleted) {
            co_return w->worker;
        }
    }
    co_return nullptr;
}

}  // namespace buildkit_lb::proxy
