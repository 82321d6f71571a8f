#include <boost/asio/post.hpp>
#include <utility>

#include "buildkit/solve_info.hpp"
#include "buildkit/url_text.hpp"
#include "core/log.hpp"
#include "proxy/buildkit/attach_sessions.hpp"
#include "proxy/buildkit/connection.hpp"
#include "proxy/buildkit/find_key.hpp"
#include "proxy/buildkit/flows.hpp"
#include "proxy/buildkit/place.hpp"

namespace buildkit_lb::proxy {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using buildkit::grpc_code;

namespace {

// The last messages of Status may come after Solve's answer; the build's log line waits this long for them.
constexpr auto status_patience = 2s;

// Of an error, in the log and for people.
constexpr std::size_t longest_error = 512;

constexpr std::string_view require_attribute = "build-arg:BUILDKIT_LB_REQUIRE";

metrics::build_result result_of(const call::ending& how)
{
    if (how.code == grpc_code::ok) {
        return metrics::build_result::ok;
    }
    return how.client_gone || how.code == grpc_code::cancelled ? metrics::build_result::canceled
                                                               : metrics::build_result::error;
}

double seconds(duration d)
{
    return std::chrono::duration<double>(d).count();
}

void report(buildkit_service& service, const build_record& r, const call::ending& how, duration took)
{
    const auto totals = r.totals();
    const std::string& pool = service.shared.pool.workers->name();
    if (!r.internal && !r.worker.empty()) {
        service.instruments.build_ended(pool, r.worker, result_of(how), took);
        service.instruments.steps_completed(pool, r.worker, totals.cached, totals.executed);
        if (how.code == grpc_code::ok && totals.completed != 0) {
            service.shared.pool.workers->build_succeeded(
                r.key, r.worker, static_cast<double>(totals.cached) / totals.completed, clock::now());
        }
    }
    std::vector<log::field> line{{"ref", r.ref},
                                 {"pool", pool},
                                 {"worker", r.worker},
                                 {"policy", r.policy},
                                 {"reason", r.reason},
                                 {"internal", r.internal},
                                 {"linked", r.linked},
                                 {"key", r.key},
                                 {"key_source", r.key_source},
                                 {"sessions", r.sessions},
                                 {"waited", fmt::format("{:.3f}s", seconds(r.placed - r.arrived))},
                                 {"duration", fmt::format("{:.3f}s", seconds(took))},
                                 {"steps", totals.completed},
                                 {"cached", totals.cached},
                                 {"result", metrics::to_string(result_of(how))},
                                 {"code", buildkit::name(how.code)}};
    const std::string error = buildkit::without_credentials(how.message).substr(0, longest_error);
    if (!error.empty()) {
        line.emplace_back("error", error);
    }
    auto summary = r.summary(pool, clock::now());
    summary.state = balancer::build_summary::stage::ended;
    summary.worker = r.worker;
    summary.policy = r.policy;
    summary.reason = r.reason;
    summary.took = took;
    summary.result = metrics::to_string(result_of(how));
    summary.code = buildkit::name(how.code);
    summary.error = error;
    service.shared.builds.ended(r, std::move(summary));
    log::write(r.internal ? log::level::debug : log::level::info, "build ended", line);
}

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
    message.reset();
    auto needs = needs_of(*info, service.require);
    if (!needs) {
        c->fail(grpc_code::invalid_argument, "buildkit-lb: " + needs.error().text);
        co_return;
    }

    balancer::build_description what;
    what.ref = info->ref;
    what.sessions = info->sessions;
    what.internal = info->internal;
    what.linked = info->linked;
    if (info->internal && c->connection().internal_builds >= service.internal_builds_per_client) {
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
    record.placed = arrived;
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
    record.worker = build.chosen->worker()->name();
    record.policy = build.chosen->policy;
    record.reason = build.chosen->reason;
    record.placed = clock::now();
    if (!record.internal) {
        service.instruments.queue_waited(service.shared.pool.workers->name(), record.placed - arrived);
    }

    if ((co_await asio::this_coro::cancellation_state).cancelled() != asio::cancellation_type::none) {
        // Its client left in the very moment in which the last wait was over. The call has ended and won't tell.
        report(service, record, call::ending{grpc_code::cancelled, true, {}}, {});
        co_return;
    }
    // From here on the call tells of its end, even when the connection is lost or the process stops.
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    one_shot<call::ending> ended{c->connection().executor()};
    c->on_ended = [tell = ended.setter()](const call::ending& how) { tell(how); };
    c->fails_first = true;
    c->relay_to(to);
    record.moves(build_record::motion_state::running);
    service.shared.placement.placed(info->ref, build.chosen->worker());
    service.shared.traces.learn(c->headers(), build.chosen->worker());

    const auto how = co_await ended.wait();
    const auto took = clock::now() - record.placed;
    judge(*service.shared.pool.workers, *build.chosen->worker(), *how);
    build.end();
    one_shot<bool> status_closed{c->connection().executor()};
    record.when_status_closed(status_closed.setter());
    co_await status_closed.wait(clock::now() + status_patience);
    report(service, record, *how, took);
}

}  // namespace buildkit_lb::proxy
