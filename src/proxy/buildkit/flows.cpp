#include "proxy/buildkit/flows.hpp"

#include "buildkit/oldest_worker.hpp"
#include "buildkit/solve_info.hpp"
#include "proxy/buildkit/attach_sessions.hpp"
#include "proxy/buildkit/bridge_call.hpp"
#include "proxy/buildkit/build_wait.hpp"
#include "proxy/buildkit/connection.hpp"

namespace buildkit_lb::proxy {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using balancer::placement;
using buildkit::grpc_code;
using buildkit::method;

namespace {

// How long a Ping waits for its build to be placed when it can't be answered for all workers: then it is answered for
// those that are known. Short against the client's 15 s, long against the placement of a build that has a free worker.
constexpr auto ping_patience = 200ms;

// If no worker has told what it can do by then, the answer is what every supported one can.
constexpr auto last_ping_patience = 10s;

/// Tells a build that has been placed what speaks against its start on another worker.
void note_for_restarts(call& c, const std::string& ref)
{
    if (const auto build = c.connection().find_attempts(ref)) {
        if (!is_repeatable(c.method().kind)) {
            build->rules().note(c.method().kind == method::llb_container ? balancer::unrepeatable::container
                                                                         : balancer::unrepeatable::unknown_call);
        }
    } else if (const auto record = c.connection().service().shared.builds.find(ref)) {
        record->note_call_elsewhere();
    }
}

}  // namespace

asio::awaitable<void> flow_bridge(call_ptr c)
{
    const std::string ref{c->headers().get(buildkit::build_id_header)};
    auto& service = c->connection().service();
    std::vector<std::string> sessions;  // that are offered to the worker
    std::vector<std::string> needed;    // that the build names
    if (c->method().kind == method::llb_solve) {
        placement::build_inputs inputs;
        const auto message = co_await c->first_message();
        if (!message) {
            co_return;
        }
        if (auto named = buildkit::parse_bridge_solve(*message)) {
            inputs.sessions = std::move(named->sessions);
            inputs.remote_source = std::move(named->remote_source);
        }
        auto known = service.shared.sessions.find_in(*message);
        for (const auto& uuid : known) {
            if (std::find(inputs.sessions.begin(), inputs.sessions.end(), uuid) == inputs.sessions.end()) {
                inputs.sessions.push_back(uuid);
            }
        }
        needed = inputs.sessions;
        service.shared.placement.inputs_known(ref, std::move(inputs));
        // A parent that was done soon has taken its session along, and what it built is on the worker: only sessions
        // that are there are offered.
        sessions = std::move(known);
    }
    const auto& pool = *service.shared.pool.workers;
    if (c->method().kind == method::llb_ping) {
        if (const auto pong = service.shared.pongs.of_all(pool.snapshot())) {
            c->answer(*pong);
            co_return;
        }
    }
    build_wait wait{*c, ref};
    std::optional<placement::outcome> where;
    if (c->method().kind == method::llb_ping) {
        const auto begun = clock::now();
        where = co_await wait.wait(begun + ping_patience);
        while (!where) {
            if (const auto pong = service.shared.pongs.of_known(pool.snapshot())) {
                c->answer(*pong);
                co_return;
            }
            if (clock::now() - begun >= last_ping_patience ||
                (pool.queue().wait_when_empty && !pool.snapshot()->ready())) {
                c->answer(buildkit::oldest_pong());
                co_return;
            }
            where = co_await wait.wait(clock::now() + ping_patience);
        }
    } else {
        where = co_await wait.wait();
    }
    if (where->what == placement::outcome::kind::placed && c->method().kind != method::llb_ping) {
        note_for_restarts(*c, ref);
    }
    if (auto build = c->connection().find_attempts(ref); build && !build->over() && is_repeatable(c->method().kind)) {
        build->needs(needed);
        co_await run_bridge_call(c, std::move(build), std::move(sessions));
        co_return;
    }
    if (where->where) {
        if (c->method().kind == method::llb_ping) {
            c->on_answer_message = [&service, &pool, worker = where->where](std::string_view pong) {
                service.shared.pongs.learn(*worker, pong, pool.snapshot());
            };
        }
        const auto attached = co_await attach_sessions(c->connection(), sessions, where->where);
        if (!attached && attached.error().retryable) {
            c->fail(grpc_code_of(attached.error()), attached.error().detail);
            co_return;
        }
    }
    co_await relay_by(c, std::move(*where));
}

void end_for_stop(call& c)
{
    c.fail(grpc_code::unavailable, "buildkit-lb: the balancer is stopping: connect again");
}

asio::awaitable<void> flow_any(call_ptr c)
{
    result<link_table::link_ptr> found = co_await c->connection().default_link();
    if (found) {
        c->relay_to(*found);
    } else {
        c->fail(grpc_code::unavailable, "buildkit-lb: " + found.error().detail);
    }
}

}  // namespace buildkit_lb::proxy
