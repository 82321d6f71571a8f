#include "proxy/buildkit/place.hpp"

#include <utility>

#include "core/event.hpp"
#include "proxy/buildkit/attach_sessions.hpp"
#include "proxy/buildkit/connection.hpp"

namespace buildkit_lb::proxy {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using balancer::build_kind;

namespace {

// How long a linked build waits to hear where its parents are when nothing else of its invocation runs: its
// LLBBridge/Solve, which tells them, follows at once then.
constexpr auto parent_patience = 30s;

// A linked build that was lost with its worker follows its parents, which were lost too. Should these have stayed, it
// goes elsewhere by itself after this time: they wait for it.
constexpr auto move_patience = 10s;

// How often it looks whether anything else of its invocation runs.
constexpr auto parent_look = 2s;

build_wait_state waits_for(build_wait_state::reason what, std::shared_ptr<const balancer::waiting_build> place = {})
{
    return {what, std::chrono::system_clock::now(), std::move(place)};
}

/// The worker that has the inputs of a linked build; nullptr when there is none, or it can't be known in time. The
/// client asks for a linked build's work only once its parents' is done, and those may wait in the queue.
asio::awaitable<std::shared_ptr<balancer::worker>> parent_of(running_build& build)
{
    const build_record& record = *build.record;
    one_shot<std::shared_ptr<balancer::worker>> found{build.client.executor()};
    build.pool.placement.find_parent(record.ref, found.setter(), build.lost);
    build.record->waits(waits_for(build_wait_state::reason::parents));
    const auto begun = clock::now();
    const auto at_most = build.pool.pool.workers->queue().timeout;
    for (;;) {
        const auto parent = co_await found.wait(clock::now() + parent_look);
        if (parent) {
            co_return *parent;
        }
        const auto waited = clock::now() - begun;
        if (!build.lost.empty() && waited >= move_patience && build.pool.placement.parent_stays(record.ref)) {
            co_return nullptr;
        }
        const bool alone = !build.pool.builds.has_siblings(record);
        if (waited >= at_most || (alone && waited >= parent_patience)) {
            co_return nullptr;
        }
    }
}

/// A place in the queue, given up when it is not needed any more.
struct queue_place {
    queue_place(balancer::pool& p, std::shared_ptr<balancer::waiting_build> w) : pool{p}, waiting{std::move(w)} {}
    queue_place(const queue_place&) = delete;
    queue_place& operator=(const queue_place&) = delete;
    ~queue_place() { pool.leave(*waiting); }

    balancer::pool& pool;
    const std::shared_ptr<balancer::waiting_build> waiting;
};

/// Asks the pool for a worker, and waits in its queue.
asio::awaitable<std::optional<balancer::pick>> admitted(running_build& build, balancer::pick_context context,
                                                        bool ahead, time_point since, failure& why)
{
    auto& workers = *build.pool.pool.workers;
    const build_record& record = *build.record;
    one_shot<balancer::admission> served{build.client.executor()};
    balancer::admission_request request;
    request.context = std::move(context);
    // Without a key the builds of one machine take turns with those of others.
    request.key = !record.key.empty() ? record.key : build.client.peer();
    request.invocation = record.invocation;
    request.ahead = ahead || record.internal;
    // What it has done so far is worth a wait for a worker that is down.
    request.waits_for_any = !build.lost.empty();
    request.now = since;
    request.then = [of = std::weak_ptr{build.record}, tell = served.setter()](balancer::admission given) {
        // Already here, on whichever thread: who looks next for builds that wait for one another has to see that this
        // one is on its way, even when its own thread has no turn before.
        if (const auto moving = of.lock(); moving && given.chosen) {
            moving->moves(build_record::motion_state::being_sent);
        }
        tell(std::move(given));
    };
    balancer::admission outcome = workers.admit(std::move(request));
    if (outcome.waiting) {
        const queue_place place{workers, outcome.waiting};
        // A build that had a worker already has been let in before.
        if (!ahead && build.client.queued_builds >= build.client.service().per_client.queued_builds) {
            why = too_many_queued_builds(build.client.service());
            co_return std::nullopt;
        }
        const counted_in queued{build.client.queued_builds};
        build.record->waits(waits_for(build_wait_state::reason::worker, outcome.waiting));
        auto given = co_await served.wait();
        outcome = std::move(*given);
    }
    build.record->waits({});
    if (!outcome.chosen) {
        why = std::move(outcome.why);
        why.detail.insert(0, "buildkit-lb: ");
        auto& instruments = build.client.service().instruments;
        if (outcome.refused == balancer::rejection::internal_limit) {
            instruments.internal_build_refused(workers.name(), "worker");
        } else {
            instruments.queue_rejected(workers.name(), to_string(outcome.refused));
        }
    }
    co_return std::move(outcome.chosen);
}

}  // namespace

running_build::running_build(buildkit_connection& c, std::shared_ptr<build_record> r)
    : client{c}, pool{c.service().shared}, record{std::move(r)}
{
    pool.builds.add(record);
    client.internal_builds += record->internal ? 1 : 0;
}

running_build::~running_build()
{
    end();
    pool.builds.remove(*record);
    client.internal_builds -= record->internal ? 1 : 0;
}

void running_build::end()
{
    if (std::exchange(ended_, true)) {
        return;  // another build may have its Ref by now
    }
    record->moves(build_record::motion_state::none);
    pool.placement.ended(record->ref);
    chosen.reset();
}

build_place place_of(const running_build& build)
{
    const balancer::pick& chosen = *build.chosen;
    return {chosen.worker()->name(), std::string{chosen.policy}, std::string{chosen.reason}, build.linked_to_parent,
            clock::now()};
}

asio::awaitable<link_table::link_ptr> place(running_build& build, std::vector<std::string> sessions, failure& why)
{
    auto& service = build.client.service();
    auto& pool = *build.pool.pool.workers;
    auto& record = *build.record;
    balancer::pick_context context;
    context.kind = record.internal ? build_kind::internal : build_kind::ordinary;
    context.key = record.key;
    context.needs = build.needs;
    context.lost = build.lost;
    context.now = clock::now();
    std::shared_ptr<balancer::worker> parent;
    if (record.linked) {
        parent = co_await parent_of(build);
        record.waits({});
    }
    // A build that has to wait again because its worker failed has waited before: queue.timeout is for all of it.
    const auto since = clock::now();
    for (bool again = !build.lost.empty();; again = true) {
        build.linked_to_parent = false;
        if (parent) {
            build.chosen = pool.take(parent, context, "linked");
            build.linked_to_parent = build.chosen.has_value();
            parent = nullptr;
        }
        if (!build.chosen) {
            build.chosen = co_await admitted(build, context, again, since, why);
        }
        if (!build.chosen) {
            co_return nullptr;
        }
        record.moves(build_record::motion_state::being_sent);
        const auto where = build.chosen->worker();
        service.instruments.picked(pool.name(), build.chosen->policy, build.chosen->reason);
        result<link_table::link_ptr> found = co_await build.client.links().get(where);
        if (found) {
            const auto attached = co_await attach_sessions(build.client, sessions, where);
            if (attached && (*found)->usable()) {
                co_return *found;
            }
            if (!attached && !attached.error().retryable) {
                why = attached.error();
                co_return nullptr;
            }
        }
        context.excluded.push_back(where);
        record.moves(build_record::motion_state::none);
        build.chosen.reset();
    }
}

}  // namespace buildkit_lb::proxy
