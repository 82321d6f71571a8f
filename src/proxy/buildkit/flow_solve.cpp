#include <fmt/format.h>
#include <utility>

#include "buildkit/solve_info.hpp"
#include "proxy/buildkit/attach_sessions.hpp"
#include "proxy/buildkit/build_report.hpp"
#include "proxy/buildkit/connection.hpp"
#include "proxy/buildkit/find_key.hpp"
#include "proxy/buildkit/flows.hpp"
#include "proxy/buildkit/place.hpp"
#include "proxy/buildkit/run_attempts.hpp"

namespace buildkit_lb::proxy {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using buildkit::grpc_code;

namespace {

// The last messages of Status may come after Solve's answer; the build's log line waits this long for them.
constexpr auto status_patience = 2s;

constexpr std::string_view require_attribute = "build-arg:BUILDKIT_LB_REQUIRE";
constexpr std::string_view failover_attribute = "build-arg:BUILDKIT_LB_FAILOVER";

/// Tells the pool what the end of a build says of its worker.
void judge(balancer::pool& pool, const balancer::worker& w, const call::ending& how)
{
    using verdict = call::ending::verdict;
    switch (how.worker) {
        case verdict::answered: pool.report_success(w); break;
        case verdict::unavailable:
        case verdict::reset:
            if (!how.client_gone) {
                const bool reset = how.worker == verdict::reset;
                const auto fault = reset ? balancer::traffic_fault::reset : balancer::traffic_fault::unavailable;
                pool.report_fault(w, fault, reset ? how.message : "answered UNAVAILABLE: " + how.message, clock::now());
            }
            break;
        case verdict::nothing: break;
    }
}

/// What is known of a build from its Solve.
std::shared_ptr<build_record> describe(call& c, const buildkit::solve_info& info)
{
    auto& connection = c.connection();
    auto record = std::make_shared<build_record>();
    record->ref = info.ref;
    record->internal = info.internal;
    record->linked = info.linked;
    record->sessions = info.sessions.size();
    record->client = connection.peer();
    record->tls_client = connection.certificate();
    const auto trace = buildkit::trace_id_of(c.headers().get(buildkit::trace_parent_header));
    record->invocation = trace.empty() ? "connection-" + std::to_string(connection.number()) : std::string{trace};
    return record;
}

/// What the worker of a build must have.
checked<balancer::requirements> needs_of(const buildkit::solve_info& info, const label_map& of_listener)
{
    balancer::requirements needs;
    if (!of_listener.empty()) {
        needs.labels.push_back(of_listener);
    }
    if (const auto wanted = info.attr(require_attribute); !wanted.empty()) {
        auto labels = parse_labels(wanted);
        if (!labels) {
            return complaint{std::string{require_attribute} + ": " + labels.error().text +
                             "; allowed: LABEL=VALUE[,LABEL=VALUE...], such as disk=ssd"};
        }
        needs.labels.push_back(std::move(*labels));
    }
    const auto platforms = info.attr("platform");
    if (auto all = normal_platforms(platforms)) {
        needs.platforms = std::move(*all);
    } else {
        // What can't be read is the worker's to refuse. A client's own builds look at things, they don't make any.
        needs.any_platform = !platforms.empty() || info.internal;
    }
    return needs;
}

/// Whether the build starts again on another worker if its own is lost.
checked<bool> may_restart(const buildkit::solve_info& info, const balancer::failover_settings& settings)
{
    const auto wanted = info.attr(failover_attribute);
    if (!wanted.empty() && wanted != "on" && wanted != "off") {
        return complaint{fmt::format("{}: '{}' is neither; allowed: on, off", failover_attribute, wanted)};
    }
    return settings.attempts != 0 && wanted != "off";
}

/// Sends Solve to the worker it is placed on and stays until it has ended: a loss of that worker is its end.
asio::awaitable<call::ending> relay_solve(call_ptr c, running_build& build, link_table::link_ptr to)
{
    auto& shared = c->connection().service().shared;
    const auto where = build.chosen->worker();
    // From here on the call tells of its end, even when the connection is lost or the process stops.
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    one_shot<call::ending> ended{c->connection().executor()};
    c->on_ended = [tell = ended.setter()](const call::ending& how) { tell(how); };
    c->fails_first = true;
    c->relay_to(std::move(to));
    build.record->placed(place_of(build));
    shared.placement.placed(build.record->ref, where);
    shared.traces.learn(c->headers(), where);
    const auto how = co_await ended.wait();
    co_return *how;
}

}  // namespace

asio::awaitable<void> flow_solve(call_ptr c)
{
    const auto arrived = clock::now();
    auto message = co_await c->first_message();
    if (!message) {
        co_return;
    }
    auto& service = c->connection().service();
    auto info = buildkit::parse_solve(*message);
    if (!info) {
        c->fail(grpc_code::invalid_argument, "buildkit-lb: " + info.error().detail);
        co_return;
    }
    auto needs = needs_of(*info, service.require);
    if (!needs) {
        c->fail(grpc_code::invalid_argument, "buildkit-lb: " + needs.error().text);
        co_return;
    }

    const auto restarts = may_restart(*info, service.failover);
    if (!restarts) {
        c->fail(grpc_code::invalid_argument, "buildkit-lb: " + restarts.error().text);
        co_return;
    }
    message.reset();

    balancer::build_description what;
    what.ref = info->ref;
    what.sessions = info->sessions;
    what.internal = info->internal;
    what.linked = info->linked;
    if (info->internal && c->connection().internal_builds >= service.per_client.internal_builds) {
        service.instruments.internal_build_refused(service.shared.pool.workers->name(), "client");
        c->fail(grpc_code::resource_exhausted, fmt::format("buildkit-lb: this client runs {} internal builds already "
                                                           "(limits.internal_builds_per_client)",
                                                           c->connection().internal_builds));
        co_return;
    }
    if (!service.shared.placement.begin(what)) {
        c->fail(grpc_code::already_exists, "buildkit-lb: a build with the Ref " + info->ref + " is running");
        co_return;
    }
    running_build build{c->connection(), describe(*c, *info)};
    build.needs = std::move(*needs);
    build_record& record = *build.record;
    record.arrived = arrived;
    if (info->linked && !info->frontend.empty()) {
        // The worker runs the frontend: what it takes as inputs is here already, and no LLBBridge/Solve will come.
        service.shared.placement.inputs_known(info->ref, {info->sessions, info->remote_source});
    }

    failure why;
    link_table::link_ptr to;
    try {
        co_await find_key(*c, *info, build);
        to = co_await place(build, info->sessions, why);
    } catch (const boost::system::system_error&) {
        report(service, record, call::ending{grpc_code::cancelled, true, {}}, {});
        throw;
    }
    if (!to) {
        // Solve first: the client shows the first error it sees.
        c->fail(grpc_code_of(why), why.detail);
        service.shared.placement.failed(info->ref, why);
        report(service, record, call::ending{grpc_code_of(why), false, why.detail}, {});
        co_return;
    }
    const auto placed = clock::now();
    if (!record.internal) {
        service.instruments.queue_waited(service.shared.pool.workers->name(), placed - arrived);
    }
    if ((co_await asio::this_coro::cancellation_state).cancelled() != asio::cancellation_type::none) {
        // Its client left in the very moment in which the last wait was over. The call has ended and won't tell.
        report(service, record, call::ending{grpc_code::cancelled, true, {}}, {});
        co_return;
    }
    call::ending how{grpc_code::cancelled, true, {}};
    if (*restarts) {
        try {
            how = co_await run_attempts(c, build, info->sessions, to);
        } catch (const boost::system::system_error&) {
            // Cancelled: its client has taken it back, or the process stops.
        }
        co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    } else {
        how = co_await relay_solve(c, build, to);
    }
    to = nullptr;
    const auto took = clock::now() - placed;
    if (build.chosen) {
        judge(*service.shared.pool.workers, *build.chosen->worker(), how);
    }
    build.end();
    one_shot<bool> status_closed{c->connection().executor()};
    record.when_status_closed(status_closed.setter());
    co_await status_closed.wait(clock::now() + status_patience);
    report(service, record, how, took);
}

}  // namespace buildkit_lb::proxy
