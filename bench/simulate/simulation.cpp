#include "simulation/simulation.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>
#include <stdexcept>
#include <utility>

#include "balancer/policies/registry.hpp"
#include "simulation/run.hpp"

namespace buildkit_lb::simulation {
namespace {

using balancer::admission;
using balancer::pick;
using balancer::pool;
using balancer::worker_health;

constexpr double sweep_every = 1;     // as application::sweep, roughly
constexpr double sample_every = 600;  // of the workers' loads

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

}  // namespace

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
        const double end_of_one = endings_.empty() ? never : endings_.top().time;
        const double changing = next_change < changes_.size() ? changes_[next_change].time : never;
        next_sweep = pool_->queue_length() == 0 ? never : next_sweep == never ? now_ + sweep_every : next_sweep;
        if (std::min({arrival, end_of_one, next_sweep}) == never) {
            break;
        }
        now_ = std::min({arrival, end_of_one, changing, next_sweep, next_sample});
        if (now_ == end_of_one) {
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

result simulate(const settings& of, const workload& load, std::string_view policy)
{
    return run{of, load, policy}.go();
}

}  // namespace buildkit_lb::simulation
