// The members of pool that have to do with builds that wait.

#include <algorithm>
#include <chrono>
#include <unordered_set>

#include "balancer/obstacle.hpp"
#include "balancer/pool.hpp"

namespace buildkit_lb::balancer {

namespace {

// While builds wait, a place that becomes free goes to the first of them for which that worker is warm, but not more
// often in a row than this: then it goes to the first of all. Without it, a pool that is full once stays full: whoever
// is next goes to whichever worker has a place, finds nothing in its cache, and takes several times as long
// (docs/simulation.md). Waiting for the right worker instead of taking the first is delay scheduling (M. Zaharia et
// al., EuroSys 2010); counting how often one was passed over keeps it fair without a clock.
constexpr std::uint32_t max_passed_over = 3;
// So far back one looks for such a build: it is a look-up each.
constexpr std::size_t max_looked_at = 64;

}  // namespace

std::string_view to_string(rejection why)
{
    switch (why) {
        case rejection::full: return "full";
        case rejection::timeout: return "timeout";
        case rejection::no_worker: return "no_worker";
        case rejection::no_match: return "no_match";
        case rejection::internal_limit: return "internal_limit";
        case rejection::none: break;
    }
    return "none";
}

admission pool::admit(admission_request request)
{
    news out;
    admission outcome;
    {
        const std::lock_guard lock{mutex_};
        latest_ = std::max(latest_, request.now);
        // A lease that has just ended may not have served the queue yet: its place is not the newcomer's.
        serve_waiting(out);
        outcome = admit_locked(std::move(request));
    }
    tell(out);
    return outcome;
}

admission pool::admit_locked(admission_request request)
{
    admission outcome;
    outcome.chosen = choose(request.context);
    if (outcome.chosen) {
        return outcome;
    }
    const bool internal = request.context.kind == build_kind::internal;
    const fitting_workers fitting{*snapshot_, request.context.needs, platform_settings_};
    bool some_fit = false;
    bool some_full = false;
    bool some_down = false;
    // Where nobody else is left, those that are ejected count: one that is full is waited for.
    pick_context any = request.context;
    any.include_ejected = true;
    for (const auto& view : snapshot_->workers) {
        if (fitting.of(view) != fitness::none) {
            some_fit = true;
            const obstacle what = find_obstacle(view, any);
            some_full = some_full || what == obstacle::full;
            some_down = some_down || what == obstacle::down;
        }
    }
    if (!some_fit && !snapshot_->workers.empty()) {
        return refuse(rejection::no_match, request.context, 0);
    }
    if (internal && some_full) {
        return refuse(rejection::internal_limit, request.context, 0);
    }
    if (!some_full && !queue_settings_.wait_when_empty && !(request.waits_for_any && some_down)) {
        return refuse(rejection::no_worker, request.context, 0);
    }
    if (!internal && queue_.size() >= queue_settings_.max_length) {
        return refuse(rejection::full, request.context, queue_.size());
    }
    outcome.waiting = std::make_shared<waiting_build>();
    outcome.waiting->context = std::move(request.context);
    if (snapshot_->probed) {
        // What was tried is down now, and may be tried again once it is up.
        outcome.waiting->context.excluded.clear();
    }
    outcome.waiting->key = std::move(request.key);
    outcome.waiting->invocation = std::move(request.invocation);
    outcome.waiting->since = request.now;
    outcome.waiting->then = std::move(request.then);
    queue_.add(outcome.waiting, request.ahead);
    return outcome;
}

void pool::leave(const waiting_build& build)
{
    const std::lock_guard lock{mutex_};
    queue_.remove(build);
}

void pool::serve(const build_queue::entry& build, std::optional<pick> chosen, news& out)
{
    queue_.serve(build);
    give(build, std::move(chosen), out);
}

void pool::give(const build_queue::entry& build, std::optional<pick> chosen, news& out)
{
    admission given;
    given.chosen = std::move(chosen);
    out.emplace_back(std::move(build->then), std::move(given));
}

bool pool::anyone_free()
{
    pick_context anything;
    anything.needs.any_platform = true;
    anything.include_ejected = outliers_.ejected() != 0;
    return candidates_for(anything).any();
}

std::optional<pick> pool::choose_late(pick_context context)
{
    // The end of a build, which makes a place free, brings no time along; sweeps and new builds do, all the time.
    context.now = std::max(context.now, latest_);
    return choose(context);
}

void pool::serve_queue()
{
    news out;
    {
        const std::lock_guard lock{mutex_};
        serve_waiting(out);
    }
    tell(out);
}

void pool::serve_waiting(news& out)
{
    if (queue_.empty()) {
        return;
    }
    bool some_free = anyone_free();
    while (some_free && serve_warm(out)) {
        some_free = anyone_free();
    }
    for (auto at = queue_.begin(); at != queue_.end();) {
        const auto build = (at++)->second;
        if (!some_free && build->context.kind == build_kind::ordinary) {
            continue;
        }
        if (auto chosen = choose_late(build->context)) {
            serve(build, std::move(chosen), out);
            passed_over_ = 0;
            some_free = anyone_free();
        }
    }
}

bool pool::serve_warm(news& out)
{
    if (passed_over_ == max_passed_over) {
        return false;
    }
    std::size_t looked_at = 0;
    for (const auto& [rank, waiting] : queue_) {
        if (++looked_at > max_looked_at) {
            break;
        }
        const auto build = waiting;
        if (build->context.kind != build_kind::ordinary ||
            !policy_->is_warm(candidates_for(build->context), build->context)) {
            continue;
        }
        auto chosen = choose_late(build->context);
        if (!chosen) {
            break;
        }
        if (looked_at == 1) {
            passed_over_ = 0;
            serve(build, std::move(chosen), out);
        } else {
            // Out of turn: the turns of those who come later count from the one whose turn it is.
            ++passed_over_;
            queue_.remove(*build);
            give(build, std::move(chosen), out);
        }
        return true;
    }
    return false;
}

void pool::expire_queue(time_point now)
{
    news out;
    {
        const std::lock_guard lock{mutex_};
        latest_ = std::max(latest_, now);
        for (auto at = queue_.begin(); at != queue_.end();) {
            const auto build = (at++)->second;
            if (now - build->since >= queue_settings_.timeout) {
                out.emplace_back(std::move(build->then), refuse(rejection::timeout, build->context, queue_.size()));
                queue_.remove(*build);
            }
        }
    }
    tell(out);
}

std::vector<std::string> pool::waiting_invocations() const
{
    std::vector<std::string> all;
    std::unordered_set<std::string_view> seen;
    const std::lock_guard lock{mutex_};
    for (const auto& [rank, build] : queue_) {
        if (seen.insert(build->invocation).second) {
            all.push_back(build->invocation);
        }
    }
    return all;
}

bool pool::admit_over_cap(const std::string& invocation)
{
    news out;
    {
        const std::lock_guard lock{mutex_};
        for (const auto& [rank, build] : queue_) {
            if (build->invocation != invocation) {
                continue;
            }
            const auto waits = build;
            auto context = waits->context;
            context.over_cap = true;
            if (auto chosen = choose_late(std::move(context))) {
                chosen->reason = over_cap_reason;
                serve(waits, std::move(chosen), out);
            }
            break;
        }
    }
    tell(out);
    return !out.empty();
}

std::size_t pool::queue_length() const
{
    const std::lock_guard lock{mutex_};
    return queue_.size();
}

admission pool::refuse(rejection why, const pick_context& context, std::size_t waiting) const
{
    const auto readable = [](duration d) {
        const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(d).count();
        return ms < 1000 ? std::to_string(ms) + " ms" : std::to_string(ms / 1000) + " s";
    };
    admission no;
    no.refused = why;
    no.why.code = why == rejection::no_worker  ? errc::no_worker
                  : why == rejection::no_match ? errc::no_match
                                               : errc::too_many;
    no.why.source = failure_source::upstream;
    no.why.retryable = why != rejection::no_match;
    switch (why) {
        case rejection::no_match:
            no.why.detail = "no worker of pool " + name_ + " has " +
                            fitting_workers{*snapshot_, context.needs, platform_settings_}.text() +
                            "; add one, ask for something else, or for several platforms that no one worker has use "
                            "a builder with a node for each (a listener with `require: {platform: ...}` each): ";
            break;
        case rejection::full:
            no.why.detail = "the queue of pool " + name_ + " is full: " + std::to_string(waiting) + " of at most " +
                            std::to_string(queue_settings_.max_length) +
                            " builds wait for a free worker; try again later, add workers, or raise max_builds or "
                            "queue.max_length: ";
            break;
        case rejection::timeout:
            no.why.detail = "no worker of pool " + name_ + " became free within " + readable(queue_settings_.timeout) +
                            " (" + std::to_string(waiting) +
                            " builds wait); try again later, add workers, or raise max_builds or queue.timeout: ";
            break;
        case rejection::internal_limit:
            no.why.detail = "every worker of pool " + name_ + " runs limits.internal_builds_per_worker of them: ";
            break;
        default: no.why.detail = "no worker of pool " + name_ + " can take a build: "; break;
    }
    no.why.detail += list_obstacles(*snapshot_, context, platform_settings_);
    return no;
}

void pool::tell(news& all)
{
    for (auto& [then, what] : all) {
        then(std::move(what));
    }
}

}  // namespace buildkit_lb::balancer
