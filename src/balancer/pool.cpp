#include "balancer/pool.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

#include "balancer/obstacle.hpp"

namespace buildkit_lb::balancer {
std::string_view to_string(worker_health health)
{
    switch (health) {
        case worker_health::up: return "up";
        case worker_health::down: return "down";
        case worker_health::unknown: break;
    }
    return "unknown";
}

bool pool_snapshot::ready() const
{
    return std::any_of(workers.begin(), workers.end(), [this](const worker_view& v) {
        return !v.draining && !v.leaving && !v.going_away &&
               (v.health == worker_health::up || (v.health == worker_health::unknown && !probed));
    });
}

namespace {

worker_view view_of(const worker_settings& settings, std::shared_ptr<worker_load> load)
{
    worker_view view;
    view.labels = settings.labels;
    view.worker = std::make_shared<worker>(settings, std::move(load));
    return view;
}

}  // namespace

pool::pool(std::string name, std::vector<worker_settings> workers, std::unique_ptr<policy> chosen_by,
           queue_settings queue, platform_settings platforms)
    : name_{std::move(name)},
      queue_settings_{queue},
      platform_settings_{std::move(platforms)},
      policy_{std::move(chosen_by)},
      open_{platform_settings_}
{
    pool_snapshot first;
    first.pool = name_;
    // One block for the loads of all, for the sake of whoever looks at all of them.
    const auto loads = std::make_shared<std::vector<worker_load>>(workers.size());
    for (const auto& settings : workers) {
        first.workers.push_back(
            view_of(settings, std::shared_ptr<worker_load>{loads, &(*loads)[first.workers.size()]}));
    }
    snapshot_ = std::make_shared<const pool_snapshot>(std::move(first));
    make_table();
}

void pool::make_table()
{
    std::vector<std::shared_ptr<worker>> all;
    for (const auto& view : snapshot_->workers) {
        all.push_back(view.worker);
    }
    table_ = worker_table{std::move(all)};
    policy_->use(table_);
}

std::shared_ptr<const pool_snapshot> pool::snapshot() const
{
    const std::lock_guard lock{mutex_};
    return snapshot_;
}

std::optional<pick> pool::pick_worker(const pick_context& context)
{
    const std::lock_guard lock{mutex_};
    return choose(context);
}

std::optional<pick> pool::choose(const pick_context& context)
{
    latest_ = std::max(latest_, context.now);
    const candidates from = candidates_for(context);
    const auto chosen = context.kind == build_kind::internal ? choose_internal(from) : policy_->choose(from, context);
    if (!chosen) {
        return std::nullopt;
    }
    assert(from.may_take(chosen->index));
    // Counted under the lock, so that the next pick sees it.
    return pick{lease{table_.worker_at(chosen->index), context.kind, weak_from_this()}, policy_->name(),
                chosen->reason};
}

candidates pool::candidates_for(const pick_context& context)
{
    std::span<const std::uint32_t> weights;
    if (slow_.any(latest_)) {
        slow_weights_.clear();
        for (std::size_t i = 0; i < table_.size(); ++i) {
            const auto& w = *table_.worker_at(i);
            slow_weights_.push_back(w.weight().value * slow_.share(w, latest_));
        }
        weights = slow_weights_;
    }
    return {table_, open_.limits(snapshot_, context), context.kind, weights};
}

std::optional<choice> pool::choose_internal(const candidates& from)
{
    from.list(internal_candidates_);
    if (internal_candidates_.empty()) {
        return std::nullopt;
    }
    return choice{internal_candidates_[internal_rotation_++ % internal_candidates_.size()], "internal"};
}

std::optional<pick> pool::take(const std::shared_ptr<balancer::worker>& w, const pick_context& context,
                               std::string_view reason)
{
    const std::lock_guard lock{mutex_};
    for (const auto& view : snapshot_->workers) {
        if (view.worker == w) {
            worker_view asked = view;
            asked.ejected = false;
            if (w->active_builds() != 0) {
                asked.draining = false;
                asked.leaving = false;
            }
            const obstacle found = find_obstacle(asked, context);
            if (found == obstacle::none || found == obstacle::full) {
                return pick{lease{w, context.kind, weak_from_this()}, policy_->name(), reason};
            }
        }
    }
    return std::nullopt;
}

std::string pool::explain_no_pick(const pick_context& context) const
{
    const auto now = snapshot();
    return "no worker of pool " + name_ + " can take a build: " + list_obstacles(*now, context, platforms());
}

void pool::set_health(const worker& w, worker_health health, std::string last_error)
{
    update(w, [&](worker_view& view) {
        view.health = health;
        view.last_error = std::move(last_error);
    });
}

void pool::set_facts(const worker& w, std::shared_ptr<const worker_facts> facts)
{
    update(w, [&](worker_view& view) { view.facts = std::move(facts); });
}

bool pool::set_draining(const std::string& name, bool draining)
{
    {
        const std::lock_guard lock{mutex_};
        const bool changed = draining ? drained_.insert(name).second : drained_.erase(name) != 0;
        if (!changed) {
            return false;
        }
        auto next = std::make_shared<pool_snapshot>(*snapshot_);
        for (auto& view : next->workers) {
            if (view.worker->name() == name) {
                change_view(view, [&](worker_view& v) { v.draining = draining; });
            }
        }
        snapshot_ = std::move(next);
    }
    serve_queue();
    return true;
}

std::vector<std::string> pool::drained() const
{
    const std::lock_guard lock{mutex_};
    return {drained_.begin(), drained_.end()};
}

void pool::compare_platforms(pool_snapshot& of)
{
    of.commonest_platform = commonest_platform(of.workers, {});
    const auto first = of.workers.empty() ? nullptr : of.workers.front().facts;
    of.same_platforms = first && std::all_of(of.workers.begin(), of.workers.end(), [&](const worker_view& view) {
                            return view.facts && view.facts->platforms == first->platforms;
                        });
}

void pool::build_succeeded(const std::string& key, const std::string& worker, double cached_share, time_point now)
{
    const std::lock_guard lock{mutex_};
    latest_ = std::max(latest_, now);
    policy_->built(key, worker, cached_share, now);
}

std::size_t pool::remembered_keys() const
{
    const std::lock_guard lock{mutex_};
    return policy_->remembered();
}

std::uint64_t pool::warmth_changes() const
{
    const std::lock_guard lock{mutex_};
    return earlier_changes_ + policy_->changes();
}

std::vector<warm_key> pool::copy_warmth(bool from_start, std::size_t most, time_point now)
{
    const std::lock_guard lock{mutex_};
    return policy_->copy_some(from_start, most, now);
}

void pool::restore_warmth(std::vector<warm_key> keys, time_point now)
{
    const std::lock_guard lock{mutex_};
    for (auto& key : keys) {
        policy_->restore(std::move(key), now);
    }
}

void pool::observe_connect_failures(failure_observer observer)
{
    const std::lock_guard lock{mutex_};
    observer_ = std::move(observer);
    auto next = std::make_shared<pool_snapshot>(*snapshot_);
    next->probed = observer_ != nullptr;
    if (!next->probed) {
        for (auto& view : next->workers) {
            view.health = worker_health::unknown;
            view.last_error.clear();
        }
    }
    snapshot_ = std::move(next);
}

std::string pool::policy_name() const
{
    const std::lock_guard lock{mutex_};
    return std::string{policy_->name()};
}

queue_settings pool::queue() const
{
    const std::lock_guard lock{mutex_};
    return queue_settings_;
}

platform_settings pool::platforms() const
{
    const std::lock_guard lock{mutex_};
    return platform_settings_;
}

void pool::set_workers(std::vector<worker_settings> workers)
{
    {
        const std::lock_guard lock{mutex_};
        auto next = std::make_shared<pool_snapshot>(*snapshot_);
        std::vector<worker_view> before = std::exchange(next->workers, {});
        const bool first = before.empty();
        for (const auto& settings : workers) {
            const auto same = std::find_if(before.begin(), before.end(), [&](const worker_view& view) {
                return view.worker->name() == settings.name && view.worker->address() == settings.address;
            });
            if (same == before.end()) {
                next->workers.push_back(view_of(settings, std::make_shared<worker_load>()));
                auto& added = next->workers.back();
                added.draining = drained_.contains(added.worker->name());
                if (!first) {
                    slow_.begin(*added.worker, latest_);
                }
                continue;
            }
            change_view(*same, [](worker_view& v) { v.leaving = false; });
            same->labels = settings.labels;
            same->worker->update(settings);
            next->workers.push_back(std::move(*same));
            before.erase(same);
        }
        for (auto& gone : before) {
            gone.leaving = true;
            gone.ejected = false;
            outliers_.forget(*gone.worker);
            next->workers.push_back(std::move(gone));
        }
        compare_platforms(*next);
        snapshot_ = std::move(next);
        make_table();
    }
    serve_queue();
}

bool pool::drop_idle_leavers()
{
    const std::lock_guard lock{mutex_};
    const auto idle = [](const worker_view& view) {
        return view.leaving && view.worker->active_builds() == 0 && view.worker->internal_builds() == 0;
    };
    if (std::none_of(snapshot_->workers.begin(), snapshot_->workers.end(), idle)) {
        return false;
    }
    auto next = std::make_shared<pool_snapshot>(*snapshot_);
    std::erase_if(next->workers, [&](const worker_view& view) {
        const bool gone = idle(view);
        if (gone) {
            slow_.forget(*view.worker);
        }
        return gone;
    });
    compare_platforms(*next);
    snapshot_ = std::move(next);
    make_table();
    return true;
}

void pool::set_rules(std::unique_ptr<policy> chosen_by, queue_settings queue, platform_settings platforms,
                     time_point now)
{
    {
        const std::lock_guard lock{mutex_};
        if (chosen_by) {
            for (auto& key : policy_->copy_some(true, policy_->remembered(), now)) {
                chosen_by->restore(std::move(key), now);
            }
            earlier_changes_ += policy_->changes() + 1;
            policy_ = std::move(chosen_by);
            policy_->use(table_);
        }
        queue_settings_ = queue;
        platform_settings_ = std::move(platforms);
        open_ = open_workers{platform_settings_};
    }
    serve_queue();
}

void pool::change_view(worker_view& view, const std::function<void(worker_view&)>& change)
{
    const auto takes_builds = [&] {
        return view.health != worker_health::down && !view.draining && !view.leaving && !view.going_away &&
               !view.ejected;
    };
    const bool before = takes_builds();
    change(view);
    if (!before && takes_builds()) {
        slow_.begin(*view.worker, latest_);
    }
}

void pool::set_slow_start(duration window)
{
    const std::lock_guard lock{mutex_};
    slow_.use(window);
}

double pool::weight_share(const worker& w, time_point now) const
{
    const std::lock_guard lock{mutex_};
    return static_cast<double>(slow_.share(w, now)) / slow_start::unit;
}

void pool::update(const worker& w, const std::function<void(worker_view&)>& change)
{
    {
        const std::lock_guard lock{mutex_};
        auto next = std::make_shared<pool_snapshot>(*snapshot_);
        const auto view = std::find_if(next->workers.begin(), next->workers.end(),
                                       [&](const worker_view& v) { return v.worker.get() == &w; });
        if (view == next->workers.end()) {
            return;  // a probe that ended after its worker had left the pool
        }
        const auto facts = view->facts;
        change_view(*view, change);
        if (view->facts != facts) {
            compare_platforms(*next);
        }
        snapshot_ = std::move(next);
    }
    serve_queue();
}

}  // namespace buildkit_lb::balancer
