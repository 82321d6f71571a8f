#include <boost/asio/post.hpp>
#include <utility>

#include "buildkit/solve_info.hpp"
#include "core/log.hpp"
#include "proxy/buildkit/attach_sessions.hpp"
#include "proxy/buildkit/connection.hpp"
#include "proxy/buildkit/flows.hpp"

namespace buildkit_lb::proxy {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using balancer::build_kind;
using buildkit::grpc_code;

namespace {

// How long a linked build waits to hear where its parents are. Its LLBBridge/Solve follows its Ping at once.
constexpr auto parent_patience = 30s;

// The last messages of Status may come after Solve's answer; the build's log line waits this long for them.
constexpr auto status_patience = 2s;

/// A build while its Solve is here: known to placement, entered in the registry, counted on its worker.
struct running_build {
    running_build(buildkit_pool& in, std::shared_ptr<build_record> r) : pool{in}, record{std::move(r)} {}
    running_build(const running_build&) = delete;
    running_build& operator=(const running_build&) = delete;
    ~running_build()
    {
        end();
        pool.builds.remove(record->ref);
    }

    /// The worker has answered, or nobody wants an answer any more. Once is enough.
    void end()
    {
        pool.placement.ended(record->ref);
        chosen.reset();
    }

    buildkit_pool& pool;
    std::shared_ptr<build_record> record;
    std::optional<balancer::pick> chosen;
};

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
    }
    std::vector<log::field> line{{"ref", r.ref},
                                 {"pool", pool},
                                 {"worker", r.worker},
                                 {"policy", r.policy},
                                 {"reason", r.reason},
                                 {"internal", r.internal},
                                 {"linked", r.linked},
                                 {"sessions", r.sessions},
                                 {"waited", fmt::format("{:.3f}s", seconds(r.placed - r.arrived))},
                                 {"duration", fmt::format("{:.3f}s", seconds(took))},
                                 {"steps", totals.completed},
                                 {"cached", totals.cached},
                                 {"result", metrics::to_string(result_of(how))},
                                 {"code", buildkit::name(how.code)}};
    if (!how.message.empty()) {
        line.emplace_back("error", how.message.substr(0, 512));
    }
    log::write(r.internal ? log::level::debug : log::level::info, "build ended", line);
}

/// The worker that has the inputs of a linked build; nullptr when there is none, or it can't be known in time.
asio::awaitable<std::shared_ptr<balancer::worker>> parent_of(call_ptr c, const std::string& ref)
{
    one_shot<std::shared_ptr<balancer::worker>> found{c->connection().executor()};
    c->connection().service().shared.placement.find_parent(ref, found.setter());
    const auto parent = co_await found.wait(clock::now() + parent_patience);
    co_return parent.value_or(nullptr);
}

/// Chooses a worker, connects to it and gives it the build's sessions; the next candidate if that fails. Null with the
/// reason in `why` when there is none left.
asio::awaitable<link_table::link_ptr> place(call_ptr c, running_build& build, const std::vector<std::string>& sessions,
                                            failure& why)
{
    auto& service = c->connection().service();
    auto& pool = *build.pool.pool.workers;
    balancer::pick_context context;
    context.kind = build.record->internal ? build_kind::internal : build_kind::ordinary;
    std::shared_ptr<balancer::worker> parent;
    if (build.record->linked) {
        parent = co_await parent_of(c, build.record->ref);
    }
    for (;;) {
        if (parent) {
            build.chosen = pool.take(parent, context, "linked");
            build.record->linked_to_parent = build.chosen.has_value();
            parent = nullptr;
        }
        if (!build.chosen) {
            build.chosen = pool.pick_worker(context);
        }
        if (!build.chosen) {
            why = failure{errc::no_worker, failure_source::upstream, true,
                          "buildkit-lb: " + pool.explain_no_pick(context)};
            co_return nullptr;
        }
        const auto where = build.chosen->worker();
        service.instruments.picked(pool.name(), build.chosen->policy, build.chosen->reason);
        result<link_table::link_ptr> found = co_await c->connection().links().get(where);
        if (found) {
            const auto attached = co_await attach_sessions(c->connection(), sessions, where);
            if (attached && (*found)->usable()) {
                co_return *found;
            }
            if (!attached && !attached.error().retryable) {
                why = attached.error();
                co_return nullptr;
            }
        }
        context.excluded.push_back(where);
        build.chosen.reset();
        build.record->linked_to_parent = false;
    }
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
    const auto info = buildkit::parse_solve(*message);
    if (!info) {
        c->fail(grpc_code::invalid_argument, "buildkit-lb: " + info.error().detail);
        co_return;
    }
    message.reset();

    balancer::build_description what;
    what.ref = info->ref;
    what.sessions = info->sessions;
    what.internal = info->internal;
    what.linked = info->linked;
    if (!service.shared.placement.begin(what)) {
        c->fail(grpc_code::already_exists, "buildkit-lb: a build with the Ref " + info->ref + " is running");
        co_return;
    }
    running_build build{service.shared, service.shared.builds.add(info->ref)};
    build_record& record = *build.record;
    record.internal = info->internal;
    record.linked = info->linked;
    record.sessions = info->sessions.size();
    record.arrived = arrived;
    record.placed = arrived;

    failure why;
    link_table::link_ptr to;
    try {
        to = co_await place(c, build, info->sessions, why);
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

    // From here on the call tells of its end, even when the connection is lost or the process stops.
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    one_shot<call::ending> ended{c->connection().executor()};
    c->on_ended = [tell = ended.setter()](const call::ending& how) { tell(how); };
    c->fails_first = true;
    c->relay_to(to);
    service.shared.placement.placed(info->ref, build.chosen->worker());

    const auto how = co_await ended.wait();
    const auto took = clock::now() - record.placed;
    build.end();
    one_shot<bool> status_closed{c->connection().executor()};
    record.when_status_closed(status_closed.setter());
    co_await status_closed.wait(clock::now() + status_patience);
    report(service, record, *how, took);
}

}  // namespace buildkit_lb::proxy
