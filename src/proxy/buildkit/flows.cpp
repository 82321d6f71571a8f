#include "proxy/buildkit/flows.hpp"

#include <boost/asio/post.hpp>

#include "buildkit/progress.hpp"
#include "buildkit/solve_info.hpp"
#include "proxy/buildkit/attach_sessions.hpp"
#include "proxy/buildkit/connection.hpp"

namespace buildkit_lb::proxy {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using balancer::placement;
using buildkit::grpc_code;
using buildkit::method;

namespace {

// How long a Ping waits for its build to be placed before it is answered from what the pool's workers can do. Short
// against the client's 15 s, long against the placement of a build that has a free worker.
constexpr auto ping_patience = 200ms;

/// What the client is told of a build's place. The policy's name says it for an ordinary build.
std::string_view why_there(const build_record& record)
{
    return record.linked_to_parent ? "with the target it is linked to" : std::string_view{record.policy};
}

/// A wait for a build that is taken back when its flow is cancelled.
class build_wait {
public:
    build_wait(call& of, const std::string& ref)
        : placement_{of.connection().service().shared.placement}, outcome_{of.connection().executor()}
    {
        id_ = placement_.wait_for(ref, of.held_bytes(), clock::now(), outcome_.setter());
    }
    build_wait(const build_wait&) = delete;
    build_wait& operator=(const build_wait&) = delete;
    ~build_wait() { placement_.cancel_wait(id_); }

    asio::awaitable<std::optional<placement::outcome>> wait(time_point deadline = time_point::max())
    {
        return outcome_.wait(deadline);
    }

private:
    placement& placement_;
    one_shot<placement::outcome> outcome_;
    placement::wait_id id_ = placement::no_wait;
};

/// Relays the call to `where`, or fails it.
asio::awaitable<void> relay_to_worker(call_ptr c, std::shared_ptr<balancer::worker> where)
{
    result<link_table::link_ptr> found = co_await c->connection().links().get(where);
    if (found) {
        c->relay_to(*found);
    } else {
        c->fail(grpc_code::unavailable, "worker " + where->name() + " can't be reached: " + found.error().detail);
    }
}

/// Relays the call as the build's whereabouts ask for. A build that nobody knows is looked for on any worker, which
/// answers as a single BuildKit would.
asio::awaitable<void> relay_by(call_ptr c, placement::outcome where)
{
    using kind = placement::outcome::kind;
    switch (where.what) {
        case kind::placed:
        case kind::finished: co_await relay_to_worker(c, where.where); break;
        case kind::unknown: co_await flow_any(c); break;
        case kind::refused:
            c->fail(grpc_code::resource_exhausted, "buildkit-lb: too many calls wait for builds that have not begun");
            break;
        case kind::failed:
            if (c->method().kind == method::control_status) {
                c->fail(grpc_code::ok, {});
            } else {
                c->fail(grpc_code_of(where.why), where.why.detail);
            }
            break;
    }
}

}  // namespace

asio::awaitable<void> flow_status(call_ptr c)
{
    auto message = co_await c->first_message();
    if (!message) {
        co_return;
    }
    const auto ref = buildkit::parse_status_ref(*message);
    if (!ref) {
        c->fail(grpc_code::internal, ref.error().detail);
        co_return;
    }
    build_wait wait{*c, *ref};
    auto where = co_await wait.wait();
    auto& service = c->connection().service();
    // Until the build is placed its record belongs to the thread of its Solve.
    const bool known =
        where->what == placement::outcome::kind::placed || where->what == placement::outcome::kind::finished;
    if (const auto record = known ? service.shared.builds.find(*ref) : nullptr) {
        record->status_opened();
        c->on_answer_message = [record](std::string_view m) { record->status_message(m); };
        c->on_ended = [record](const call::ending&) { record->status_closed(); };
        if (service.progress && !record->internal) {
            c->before_answer =
                buildkit::placed_line(*ref, record->worker, why_there(*record), std::chrono::system_clock::now());
        }
        // The client shows the first error it sees: that is to be Solve's.
        c->code_when_lost = grpc_code::ok;
    }
    co_await relay_by(c, std::move(*where));
}

asio::awaitable<void> flow_bridge(call_ptr c)
{
    const std::string ref{c->headers().get(buildkit::build_id_header)};
    auto& service = c->connection().service();
    std::vector<std::string> sessions;
    if (c->method().kind == method::llb_solve) {
        auto message = co_await c->first_message();
        if (!message) {
            co_return;
        }
        if (const auto named = buildkit::parse_bridge_solve(*message)) {
            sessions = named->sessions;
        }
        auto known = service.shared.sessions.find_in(*message);
        for (const auto& uuid : known) {
            if (std::find(sessions.begin(), sessions.end(), uuid) == sessions.end()) {
                sessions.push_back(uuid);
            }
        }
        service.shared.placement.inputs_known(ref, sessions);
        // A parent that was done soon has taken its session along, and what it built is on the worker: only sessions
        // that are there are offered.
        sessions = std::move(known);
    }
    build_wait wait{*c, ref};
    std::optional<placement::outcome> where;
    if (c->method().kind == method::llb_ping) {
        where = co_await wait.wait(clock::now() + ping_patience);
        while (!where) {
            if (const auto pong = service.shared.pongs.common()) {
                c->answer(*pong);
                co_return;
            }
            where = co_await wait.wait(clock::now() + ping_patience);
        }
    } else {
        where = co_await wait.wait();
    }
    if (where->where) {
        if (c->method().kind == method::llb_ping) {
            c->on_answer_message = [&service, name = where->where->name()](std::string_view pong) {
                service.shared.pongs.learn(name, pong);
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

asio::awaitable<void> flow_history(call_ptr c)
{
    auto message = co_await c->first_message();
    if (!message) {
        co_return;
    }
    const bool update = c->method().kind == method::update_history;
    const auto ref = update ? buildkit::parse_update_history_ref(*message) : buildkit::parse_history_ref(*message);
    auto where = ref ? c->connection().service().shared.placement.find(*ref) : nullptr;
    if (!where) {
        co_await flow_any(c);
        co_return;
    }
    if (!update) {
        c->on_answer_message = [&known = c->connection().service().shared.digests, where](std::string_view event) {
            known.learn(event, where);
        };
    }
    co_await relay_to_worker(c, where);
}

asio::awaitable<void> flow_content(call_ptr c)
{
    auto message = co_await c->first_message();
    if (!message) {
        co_return;
    }
    const auto digest = buildkit::parse_content_digest(*message);
    auto where = digest ? c->connection().service().shared.digests.find(*digest) : nullptr;
    if (where) {
        co_await relay_to_worker(c, where);
    } else {
        co_await flow_any(c);
    }
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
