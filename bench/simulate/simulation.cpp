#include "simulation/simulation.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <memory>
#include <optional>
#include <queue>
#include <stdexcept>
#include <unordered_map>
#include <utility>

#include "balancer/policies/registry.hpp"
#include "balancer/pool.hpp"
#include "simulation/machine.hpp"

namespace buildkit_lb::simulation {
namespace {

using balancer::admission;
using balancer::pick;
using balancer::pick_context;
using balancer::pool;
using balancer::worker_health;

constexpr double never = std::numeric_limits<double>::infinity();
constexpr double sweep_every = 1;                      // as application::sweep, roughly
constexpr std::uint32_t keys_without_memory = 20'000;  // enough for a hundredth to be no matter of luck
constexpr double sample_every = 600;                   // of the workers' loads

time_point at(double seconds)
{
    return time_point{std::chrono::duration_cast<duration>(std::chrono::duration<double>{seconds})};
}

std::string key_of(std::uint32_t project)
{
    return "git.example.test/team/project-" + std::to_string(project);
}

std::shared_ptr<pool> make_pool(const settings& of, std::size_t workers, std::string_view policy)
{
    std::vector<balancer::worker_settings> all(workers);
    for (std::size_t i = 0; i < workers; ++i) {
        all[i].name = "w" + std::to_string(i + 1);
        all[i].max_builds = of.max_builds;
    }
    auto chosen_by = balancer::make_policy(
        policy, {.load_factor = of.load_factor, .spill_after = of.spill_after, .memory = of.memory});
    if (!chosen_by) {
        throw std::invalid_argument{"no policy " + std::string{policy}};
    }
    balancer::queue_settings queue;
    queue.max_length = of.queue_length;
    queue.timeout = at(of.queue_timeout).time_since_epoch();
    return std::make_shared<pool>("simulated", std::move(all), std::move(chosen_by), queue);
}

double percentile(std::vector<float>& values, double share)
{
    if (values.empty()) {
        return 0;
    }
    const auto nth = values.begin() + static_cast<std::ptrdiff_t>(share * static_cast<double>(values.size() - 1));
    std::nth_element(values.begin(), nth, values.end());
    return *nth;
}

double mean(const std::vector<float>& values)
{
    double sum = 0;
    for (const float v : values) {
        sum += v;
    }
    return values.empty() ? 0 : sum / static_cast<double>(values.size());
}

/// One workload through one pool.
class run {
public:
    run(const settings& of, const workload& load, std::string_view policy);
    result go();

private:
    /// A build that was begun and has not ended, by its number in the workload.
    struct active {
        balancer::lease held;
        std::size_t machine = 0;
        std::uint32_t version = 0;
        warmth how = warmth::cold;
        double begun = 0;
    };
    /// Something that happens to workers at a time.
    struct change {
        double time = 0;
        std::string what;
        std::vector<std::size_t> workers;
        bool up = false;
    };
    struct ending {
        double time = 0;
        std::size_t machine = 0;
        std::uint64_t stamp = 0;  // of the machine, when this was true
        bool operator>(const ending& other) const { return time > other.time; }
    };

    void plan_events();
    void set_up(std::size_t worker, bool up);
    void admit(std::uint32_t id, bool ahead);
    void settle();
    void begin(std::uint32_t id, pick chosen);
    void end(std::size_t on);
    void lose(std::size_t on);
    void expect_end(std::size_t on);
    void apply(const change& c);
    std::vector<std::size_t> homes();
    double moved_without_memory(const change& c) const;
    void sample();
    hour& this_hour() { return out_.hours[static_cast<std::size_t>(now_ / 3600)]; }

    const settings& settings_;
    const workload& load_;
    result out_;
    std::shared_ptr<pool> pool_;
    std::vector<std::shared_ptr<balancer::worker>> workers_;
    std::unordered_map<const balancer::worker*, std::size_t> index_;
    std::vector<bool> up_;
    std::vector<machine> machines_;
    std::vector<std::uint64_t> stamps_;
    std::vector<std::string> keys_;
    std::priority_queue<ending, std::vector<ending>, std::greater<>> endings_;
    std::unordered_map<std::uint32_t, active> running_;
    std::vector<double> first_begun_;                        // of builds, once they have a worker
    std::vector<std::pair<std::uint32_t, admission>> told_;  // what the queue said and nobody has acted on
    std::vector<change> changes_;
    double now_ = 0;
    std::vector<float> times_;
    std::vector<float> waits_;
    std::size_t warm_ = 0;
    std::size_t waited_ = 0;
    std::vector<std::size_t> begun_on_;
    double spread_ = 0;
    std::size_t samples_ = 0;
    // For the latest scale event with workers that were added: what each got before the day began.
    struct watched {
        std::size_t event = 0;
        std::vector<std::size_t> added;
        std::vector<std::size_t> before;
        double until = 0;
    };
    std::vector<watched> watched_;
};

run::run(const settings& of, const workload& load, std::string_view policy) : settings_{of}, load_{load}
{
    out_.policy = policy;
    out_.hours.resize(static_cast<std::size_t>(load.span / 3600) + 72);
    plan_events();
    std::size_t count = of.workers;
    for (const auto& c : changes_) {
        for (const std::size_t w : c.workers) {
            count = std::max(count, w + 1);
        }
    }
    pool_ = make_pool(of, count, policy);
    const auto snapshot = pool_->snapshot();
    for (const auto& view : snapshot->workers) {
        index_[view.worker.get()] = workers_.size();
        workers_.push_back(view.worker);
        machines_.emplace_back(of.full_speed, of.cache_gigabytes * 1e9);
    }
    up_.resize(count);
    stamps_.resize(count);
    begun_on_.resize(count);
    for (std::size_t i = 0; i < count; ++i) {
        set_up(i, i < of.workers);
    }
    for (std::uint32_t k = 0; k < load.projects.size(); ++k) {
        keys_.push_back(key_of(k));
    }
    first_begun_.assign(load.builds.size(), never);
    times_.reserve(load.builds.size());
    waits_.reserve(load.builds.size());
}

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

void run::set_up(std::size_t worker, bool up)
{
    up_[worker] = up;
    pool_->set_health(*workers_[worker], up ? worker_health::up : worker_health::down, up ? "" : "not there");
}

void run::admit(std::uint32_t id, bool ahead)
{
    const auto& b = load_.builds[id];
    balancer::admission_request request;
    request.context.key = keys_[b.project];
    request.context.now = request.now = at(now_);
    request.key = keys_[b.project];
    request.invocation = std::to_string(id);
    request.ahead = ahead;
    request.then = [this, id](admission given) { told_.emplace_back(id, std::move(given)); };
    auto given = pool_->admit(std::move(request));
    if (!given.waiting) {
        told_.emplace_back(id, std::move(given));
    }
    settle();
}

void run::settle()
{
    // What is begun or ended here may bring further news.
    for (std::size_t i = 0; i < told_.size(); ++i) {
        auto [id, given] = std::move(told_[i]);
        if (given.chosen) {
            begin(id, std::move(*given.chosen));
        } else {
            ++out_.rejected;
        }
    }
    told_.clear();
}

void run::begin(std::uint32_t id, pick chosen)
{
    const auto& b = load_.builds[id];
    const std::size_t on = index_.at(chosen.worker().get());
    active a;
    a.machine = on;
    a.version = load_.projects[b.project].version_at(now_);
    a.how = machines_[on].use(b.project, a.version);
    a.begun = now_;
    a.held = std::move(chosen.held);
    machines_[on].start(id, load_.work_of(b, a.how), now_);
    ++begun_on_[on];
    if (first_begun_[id] == never) {
        first_begun_[id] = now_;
        const double wait = now_ - b.time;
        waits_.push_back(static_cast<float>(wait));
        waited_ += wait > 0 ? 1U : 0U;
        this_hour().wait += wait;
        this_hour().longest_wait = std::max(this_hour().longest_wait, wait);
    }
    running_.insert_or_assign(id, std::move(a));
    expect_end(on);
}

void run::expect_end(std::size_t on)
{
    ++stamps_[on];
    const double next = machines_[on].next_end(now_);
    if (next < never) {
        endings_.push({next, on, stamps_[on]});
    }
}

void run::end(std::size_t on)
{
    const std::uint32_t id = machines_[on].end_next(now_);
    const auto& b = load_.builds[id];
    auto node = running_.extract(id);
    const active& a = node.mapped();
    machines_[on].fill(b.project, a.version, load_.projects[b.project].bytes);
    times_.push_back(static_cast<float>(now_ - first_begun_[id]));
    warm_ += a.how == warmth::warm ? 1U : 0U;
    hour& h = this_hour();
    ++h.builds;
    h.warm += a.how == warmth::warm ? 1U : 0U;
    h.time += now_ - first_begun_[id];
    expect_end(on);
    pool_->build_succeeded(keys_[b.project], workers_[on]->name(), load_.cached_share(b, a.how), at(now_));
    node.mapped().held = {};  // the place is free: whoever waits may get it
    settle();
}

void run::lose(std::size_t on)
{
    const auto lost = machines_[on].lose(now_);
    expect_end(on);
    out_.restarted += lost.size();
    for (const std::uint32_t id : lost) {
        running_.erase(id);
        settle();
    }
    for (const std::uint32_t id : lost) {
        admit(id, true);
    }
}

/// Where each key would go now.
std::vector<std::size_t> run::homes()
{
    std::vector<std::size_t> all;
    pick_context context;
    context.now = at(now_);
    for (const auto& key : keys_) {
        context.key = key;
        const auto chosen = pool_->pick_worker(context);
        all.push_back(chosen ? index_.at(chosen->worker().get()) : workers_.size());
    }
    settle();
    return all;
}

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

double run::moved_without_memory(const change& c) const
{
    const auto fresh = make_pool(settings_, workers_.size(), out_.policy);
    const auto snapshot = fresh->snapshot();
    const auto set = [&](std::size_t w, bool up) {
        fresh->set_health(*snapshot->workers[w].worker, up ? worker_health::up : worker_health::down, "");
    };
    std::unordered_map<const balancer::worker*, std::size_t> index;
    for (std::size_t i = 0; i < workers_.size(); ++i) {
        index[snapshot->workers[i].worker.get()] = i;
    }
    const auto where = [&] {
        std::vector<std::size_t> all;
        pick_context context;
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

result run::go()
{
    const auto started = std::chrono::steady_clock::now();
    std::size_t next_build = 0;
    std::size_t next_change = 0;
    double next_sweep = never;
    double next_sample = sample_every;
    while (true) {
        while (!endings_.empty() && endings_.top().stamp != stamps_[endings_.top().machine]) {
            endings_.pop();
        }
        const double arrival = next_build < load_.builds.size() ? load_.builds[next_build].time : never;
        const double ending = endings_.empty() ? never : endings_.top().time;
        const double changing = next_change < changes_.size() ? changes_[next_change].time : never;
        next_sweep = pool_->queue_length() == 0 ? never : next_sweep == never ? now_ + sweep_every : next_sweep;
        if (std::min({arrival, ending, next_sweep}) == never) {
            break;
        }
        now_ = std::min({arrival, ending, changing, next_sweep, next_sample});
        if (now_ == ending) {
            const std::size_t on = endings_.top().machine;
            endings_.pop();
            end(on);
        } else if (now_ == arrival) {
            admit(static_cast<std::uint32_t>(next_build++), false);
        } else if (now_ == changing) {
            apply(changes_[next_change++]);
        } else if (now_ == next_sweep) {
            pool_->expire_queue(at(now_));
            settle();
            next_sweep = now_ + sweep_every;
        } else {
            sample();
            next_sample = now_ + sample_every;
        }
    }
    out_.built = times_.size();
    const auto built = static_cast<double>(std::max<std::size_t>(1, out_.built));
    out_.warm_share = static_cast<double>(warm_) / built;
    out_.mean_time = mean(times_);
    out_.p95_time = percentile(times_, 0.95);
    out_.mean_wait = mean(waits_);
    out_.p95_wait = percentile(waits_, 0.95);
    out_.p99_wait = percentile(waits_, 0.99);
    out_.waited_share = static_cast<double>(waited_) / built;
    out_.spread = samples_ == 0 ? 0 : spread_ / static_cast<double>(samples_);
    // Those that were there from the beginning to the end.
    const auto first = begun_on_.begin();
    const auto last = first + static_cast<std::ptrdiff_t>(settings_.workers);
    double sum = 0;
    for (auto w = first; w != last; ++w) {
        sum += static_cast<double>(*w);
    }
    out_.busiest = static_cast<double>(*std::max_element(first, last)) / (sum / static_cast<double>(last - first));
    out_.hours.resize(std::min(out_.hours.size(), static_cast<std::size_t>(load_.span / 3600)));
    out_.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
    return std::move(out_);
}

}  // namespace

result simulate(const settings& of, const workload& load, std::string_view policy)
{
    return run{of, load, policy}.go();
}

}  // namespace buildkit_lb::simulation
