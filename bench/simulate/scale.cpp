// The members of run that have to do with workers that come and go.

#include <algorithm>
#include <cmath>

#include "simulation/run.hpp"

namespace buildkit_lb::simulation {
namespace {

constexpr std::uint32_t keys_without_memory = 20'000;  // enough for a hundredth to be no matter of luck

/// Of the keys that somebody could have taken before and after: fewer than half of them tell nothing.
double share_moved(const std::vector<std::size_t>& before, const std::vector<std::size_t>& after, std::size_t nobody)
{
    std::size_t moved = 0;
    std::size_t known = 0;
    for (std::size_t k = 0; k < before.size(); ++k) {
        if (before[k] != nobody && after[k] != nobody) {
            ++known;
            moved += before[k] != after[k] ? 1U : 0U;
        }
    }
    return known * 2 < before.size() ? std::nan("") : static_cast<double>(moved) / static_cast<double>(known);
}

}  // namespace

void run::plan_events()
{
    if (!settings_.events) {
        return;
    }
    const std::size_t n = settings_.workers;
    std::vector<std::size_t> tenth;
    for (std::size_t i = 0; i < std::max<std::size_t>(1, n / 10); ++i) {
        tenth.push_back(n + 1 + i);
    }
    changes_.push_back({load_.span * 0.4, "+1", {n}, true});
    changes_.push_back({load_.span * 0.55, "-1", {n / 2}, false});
    changes_.push_back({load_.span * 0.55 + 3600, "it is back", {n / 2}, true});
    changes_.push_back({load_.span * 0.7, "+" + std::to_string(tenth.size()), tenth, true});
    std::sort(changes_.begin(), changes_.end(), [](const auto& a, const auto& b) { return a.time < b.time; });
}

/// Where each key would go now.
std::vector<std::size_t> run::homes()
{
    std::vector<std::size_t> all;
    balancer::pick_context context;
    context.now = at(now_);
    for (const auto& key : keys_) {
        context.key = key;
        const auto chosen = pool_->pick_worker(context);
        all.push_back(chosen ? index_.at(chosen->worker().get()) : workers_.size());
    }
    settle();
    return all;
}

double run::moved_without_memory(const change& c) const
{
    const auto fresh = make_pool(settings_, workers_.size(), out_.policy);
    const auto snapshot = fresh->snapshot();
    const auto set = [&](std::size_t w, bool up) {
        fresh->set_health(*snapshot->workers[w].worker,
                          up ? balancer::worker_health::up : balancer::worker_health::down, "");
    };
    std::unordered_map<const balancer::worker*, std::size_t> index;
    for (std::size_t i = 0; i < workers_.size(); ++i) {
        index[snapshot->workers[i].worker.get()] = i;
    }
    const auto where = [&] {
        std::vector<std::size_t> all;
        balancer::pick_context context;
        for (std::uint32_t k = 0; k < keys_without_memory; ++k) {
            context.key = key_of(k);
            all.push_back(index.at(fresh->pick_worker(context)->worker().get()));
        }
        return all;
    };
    for (std::size_t i = 0; i < workers_.size(); ++i) {
        set(i, up_[i]);
    }
    const auto old_homes = where();
    for (const std::size_t w : c.workers) {
        set(w, c.up);
    }
    return share_moved(old_homes, where(), workers_.size());
}

void run::apply(const change& c)
{
    const auto count = static_cast<std::size_t>(std::count(up_.begin(), up_.end(), true));
    scale_event event{c.what, now_, count, c.workers.size(), 0, moved_without_memory(c), 0};
    const auto before = homes();
    for (const std::size_t w : c.workers) {
        set_up(w, c.up);
    }
    settle();
    event.moved = share_moved(before, homes(), workers_.size());
    if (c.up && c.what.front() == '+') {
        watched_.push_back({out_.scaled.size(), c.workers, begun_on_, now_ + 24 * 3600});
    }
    out_.scaled.push_back(event);
    if (!c.up) {
        for (const std::size_t w : c.workers) {
            lose(w);
        }
    }
}

void run::sample()
{
    double sum = 0;
    double squares = 0;
    double count = 0;
    for (std::size_t i = 0; i < workers_.size(); ++i) {
        if (up_[i]) {
            const double builds = workers_[i]->active_builds();
            sum += builds;
            squares += builds * builds;
            count += 1;
        }
    }
    if (sum > 0) {
        const double average = sum / count;
        spread_ += std::sqrt(std::max(0., squares / count - average * average)) / average;
        ++samples_;
    }
    for (auto& w : watched_) {
        if (now_ < w.until) {
            continue;
        }
        double added = 0;
        double others = 0;
        for (std::size_t i = 0; i < workers_.size(); ++i) {
            const auto got = static_cast<double>(begun_on_[i] - w.before[i]);
            const bool is_added = std::find(w.added.begin(), w.added.end(), i) != w.added.end();
            (is_added ? added : others) += got;
        }
        const double count_added = static_cast<double>(w.added.size());
        const auto up = static_cast<double>(std::count(up_.begin(), up_.end(), true));
        out_.scaled[w.event].busy_after = added / count_added / (others / (up - count_added));
        w.until = never;
    }
}

}  // namespace buildkit_lb::simulation
