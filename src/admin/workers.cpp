#include "admin/workers.hpp"

#include <algorithm>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <nlohmann/json.hpp>
#include <utility>

#include "admin/drain_request.hpp"
#include "core/log.hpp"

namespace buildkit_lb::admin {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using json = nlohmann::ordered_json;

namespace {

// How often a wait looks at its worker. Few wait at once, and a look is one short lock.
constexpr auto look_interval = 100ms;

/// Whole seconds, rounded up.
std::int64_t seconds_until(time_point when)
{
    return std::max<std::int64_t>(std::chrono::ceil<std::chrono::seconds>(when - clock::now()).count(), 0);
}

json describe(const balancer::pool& pool, const balancer::worker_view& view)
{
    const balancer::worker& w = *view.worker;
    json about{
        {"pool", pool.name()},
        {"name", w.name()},
        {"address", w.address().to_string()},
        {"weight", w.weight().value},
        {"max_builds", w.max_builds()},
        {"health", to_string(view.health)},
        {"draining", view.draining},
        {"leaving", view.leaving},
        {"going_away", view.going_away},
        {"ejected", view.ejected},
        {"active_builds", w.active_builds()},
        {"internal_builds", w.internal_builds()},
        {"last_error", view.last_error},
    };
    if (view.ejected) {
        about["ejected_for"] = view.ejected_for;
        about["ejected_seconds_left"] = seconds_until(view.ejected_until);
    }
    if (const double share = pool.weight_share(w, clock::now()); share < 1) {
        about["weight_share"] = share;
    }
    // What a probe that asks has learned. Kept while the worker is down.
    if (view.facts) {
        about["id"] = view.facts->id;
        about["version"] = view.facts->version;
        about["platforms"] = view.facts->platforms;
        about["labels"] = view.facts->labels;
    }
    return about;
}

response workers_page(const context& about)
{
    auto list = json::array();
    for (const auto& pool : about.pools()) {
        const auto snapshot = pool->snapshot();
        for (const auto& view : snapshot->workers) {
            list.push_back(describe(*pool, view));
        }
    }
    return json_response(200, {{"workers", std::move(list)}});
}

response pools_page(const context& about)
{
    auto list = json::array();
    for (const auto& pool : about.pools()) {
        const auto snapshot = pool->snapshot();
        std::size_t up = 0;
        std::size_t draining = 0;
        std::size_t ejected = 0;
        std::uint32_t builds = 0;
        std::uint32_t internal = 0;
        for (const auto& view : snapshot->workers) {
            up += view.health == balancer::worker_health::up ? 1 : 0;
            draining += view.draining ? 1 : 0;
            ejected += view.ejected ? 1 : 0;
            builds += view.worker->active_builds();
            internal += view.worker->internal_builds();
        }
        list.push_back({{"name", pool->name()},
                        {"policy", pool->policy_name()},
                        {"ready", snapshot->ready()},
                        {"workers", snapshot->workers.size()},
                        {"up", up},
                        {"draining", draining},
                        {"ejected", ejected},
                        {"active_builds", builds},
                        {"internal_builds", internal},
                        {"queue_length", pool->queue_length()},
                        {"queue_max_length", pool->queue().max_length}});
    }
    return json_response(200, {{"pools", std::move(list)}});
}

/// A worker in one of the pools that have it. Holds both: either may leave the configuration while somebody waits.
struct target {
    std::shared_ptr<balancer::pool> pool;
    std::shared_ptr<balancer::worker> worker;
};

/// Every worker called so, in the pool that was named or in all of them; none: what to answer.
std::vector<target> find_targets(const context& about, const std::string& name, const std::string& in_pool,
                                 response& none)
{
    std::vector<target> found;
    std::string known;
    bool pool_exists = in_pool.empty();
    for (const auto& pool : about.pools()) {
        if (!in_pool.empty() && pool->name() != in_pool) {
            continue;
        }
        pool_exists = true;
        const auto snapshot = pool->snapshot();
        for (const auto& view : snapshot->workers) {
            known += (known.empty() ? "" : ", ") + view.worker->name();
            if (view.worker->name() == name) {
                found.push_back({pool, view.worker});
            }
        }
    }
    if (found.empty()) {
        none = pool_exists ? error_response(404, "there is no worker '" + name + "'" +
                                                     (in_pool.empty() ? "" : " in pool '" + in_pool + "'") +
                                                     "; there are: " + known)
                           : error_response(404, "there is no pool '" + in_pool + "'");
    }
    return found;
}

drain_sight look_at(const target& t)
{
    drain_sight seen{true, t.worker->active_builds(), t.worker->internal_builds()};
    const auto snapshot = t.pool->snapshot();
    for (const auto& view : snapshot->workers) {
        if (view.worker == t.worker) {
            seen.draining = view.draining || view.leaving;
        }
    }
    return seen;
}

std::vector<drain_sight> look_at(const std::vector<target>& targets)
{
    std::vector<drain_sight> seen;
    std::transform(targets.begin(), targets.end(), std::back_inserter(seen),
                   [](const target& t) { return look_at(t); });
    return seen;
}

/// What became of a worker. `drained` is the caller's verdict: a wait wants more than to see no build.
json report(const std::vector<target>& targets, const std::vector<drain_sight>& seen, bool drained)
{
    std::uint32_t builds = 0;
    std::uint32_t internal = 0;
    bool draining = true;
    auto pools = json::array();
    for (std::size_t i = 0; i < targets.size(); ++i) {
        builds += seen[i].active_builds;
        internal += seen[i].internal_builds;
        draining = draining && seen[i].draining;
        if (pools.empty() || pools.back() != targets[i].pool->name()) {
            pools.push_back(targets[i].pool->name());
        }
    }
    return {{"worker", targets.front().worker->name()},
            {"pools", std::move(pools)},
            {"draining", draining},
            {"drained", drained},
            {"active_builds", builds},
            {"internal_builds", internal}};
}

json with_error(std::string_view message, const json& about)
{
    json all{{"error", message}};
    all.update(about);
    return all;
}

void set_draining(const context& about, const std::vector<target>& targets, bool draining, const request& asked)
{
    bool changed = false;
    for (const target& t : targets) {
        if (t.pool->set_draining(t.worker->name(), draining)) {
            changed = true;
            log::info(draining ? "worker is draining" : "worker is not draining any more",
                      {{"pool", t.pool->name()},
                       {"worker", t.worker->name()},
                       {"active_builds", t.worker->active_builds()},
                       {"internal_builds", t.worker->internal_builds()},
                       {"client", asked.peer}});
        }
    }
    if (changed && about.drains_changed) {
        about.drains_changed();
    }
}

std::string counted(std::uint32_t number)
{
    return std::to_string(number) + (number == 1 ? " build" : " builds");
}

response answer_to(drain_end how, const std::vector<target>& targets, const std::vector<drain_sight>& seen)
{
    const json about = report(targets, seen, how == drain_end::drained);
    if (how == drain_end::drained) {
        return json_response(200, about);
    }
    if (how == drain_end::undrained) {
        return json_response(409, with_error("the worker was undrained while this call waited", about));
    }
    std::uint32_t left = 0;
    for (const drain_sight& s : seen) {
        left += s.active_builds + s.internal_builds;
    }
    return json_response(
        504, with_error(counted(left) + " had not ended within the timeout; the worker stays draining", about));
}

std::string_view name_of(drain_end how)
{
    switch (how) {
        case drain_end::drained: return "drained";
        case drain_end::undrained: return "undrained";
        case drain_end::timed_out: break;
    }
    return "timeout";
}

asio::awaitable<response> wait_until_drained(std::vector<target> targets, const request& asked, duration at_most,
                                             duration settle)
{
    const auto begun = clock::now();
    drain_wait wait{begun + at_most, settle};
    asio::steady_timer timer{co_await asio::this_coro::executor};
    for (;;) {
        const auto seen = look_at(targets);
        const auto now = clock::now();
        if (const auto end = wait.look(seen, now)) {
            const auto waited = std::chrono::duration<double>(now - begun).count();
            log::info("a wait for a drain has ended", {{"worker", targets.front().worker->name()},
                                                       {"result", name_of(*end)},
                                                       {"waited", fmt::format("{:.1f}s", waited)}});
            co_return answer_to(*end, targets, seen);
        }
        if (asked.client_gone()) {
            log::info("a wait for a drain was given up by its client; the worker stays draining",
                      {{"worker", targets.front().worker->name()}});
            co_return error_response(499, "the client is gone");
        }
        timer.expires_after(look_interval);
        co_await timer.async_wait(asio::use_awaitable);
    }
}

asio::awaitable<response> drain(const context& about, const request& asked)
{
    const auto wanted = read_drain_request(asked.query);
    if (!wanted) {
        co_return error_response(400, wanted.error().text);
    }
    response none;
    auto targets = find_targets(about, asked.parameters.at(0), wanted->pool, none);
    if (targets.empty()) {
        co_return none;
    }
    set_draining(about, targets, true, asked);
    if (wanted->wait) {
        co_return co_await wait_until_drained(std::move(targets), asked, wanted->timeout, about.drain_settle);
    }
    const auto seen = look_at(targets);
    const bool idle = std::all_of(seen.begin(), seen.end(),
                                  [](const drain_sight& s) { return s.active_builds == 0 && s.internal_builds == 0; });
    co_return json_response(200, report(targets, seen, idle));
}

/// A worker that was drained and has left since would still be when it comes back.
bool undrain_absent(const context& about, const std::string& name, const std::string& in_pool, const request& asked)
{
    bool changed = false;
    for (const auto& pool : about.pools()) {
        if ((in_pool.empty() || pool->name() == in_pool) && pool->set_draining(name, false)) {
            changed = true;
            log::info("worker is not draining any more",
                      {{"pool", pool->name()}, {"worker", name}, {"client", asked.peer}});
        }
    }
    if (changed && about.drains_changed) {
        about.drains_changed();
    }
    return changed;
}

response undrain(const context& about, const request& asked)
{
    const auto pool = read_undrain_request(asked.query);
    if (!pool) {
        return error_response(400, pool.error().text);
    }
    response none;
    const std::string& name = asked.parameters.at(0);
    const auto targets = find_targets(about, name, *pool, none);
    if (targets.empty()) {
        return undrain_absent(about, name, *pool, asked) ? json_response(200, {{"worker", name}, {"draining", false}})
                                                         : none;
    }
    set_draining(about, targets, false, asked);
    return json_response(200, report(targets, look_at(targets), false));
}

}  // namespace

void add_worker_routes(router& routes, const context& about)
{
    routes.add("GET", "/api/v1/workers", immediately([&about](const request&) { return workers_page(about); }));
    routes.add("GET", "/api/v1/pools", immediately([&about](const request&) { return pools_page(about); }));
    routes.add("POST", "/api/v1/workers/*/drain", [&about](const request& asked) { return drain(about, asked); });
    routes.add("POST", "/api/v1/workers/*/undrain",
               immediately([&about](const request& asked) { return undrain(about, asked); }));
}

}  // namespace buildkit_lb::admin
