#include "simulation/workload.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <random>

namespace buildkit_lb::simulation {
namespace {

constexpr double day = 24 * 3600;
constexpr double overhead = 5;  // of every build: connecting, loading the context, resolving

/// Arrivals per second relative to their mean: most at two in the afternoon.
double tide(double time, double amplitude)
{
    return 1 + amplitude * std::cos(2 * std::numbers::pi * (time / day - 14. / 24));
}

/// Times of `count` arrivals over `span`: a Poisson process whose rate follows the tide.
std::vector<double> arrivals(std::size_t count, double span, double amplitude, std::mt19937_64& random)
{
    std::vector<double> times(count);
    std::exponential_distribution<double> gap{1};
    double total = 0;
    for (double& t : times) {
        t = total += gap(random);
    }
    const double step = std::min(60., span / 1000);
    double whole = 0;
    for (double t = 0; t < span; t += step) {
        whole += tide(t + step / 2, amplitude) * step;
    }
    // From evenly distributed times to those at which the tide has risen as far.
    double at = 0;
    double risen = 0;
    for (double& t : times) {
        const double goal = t / total * whole;
        double rise = tide(at + step / 2, amplitude) * step;
        while (risen + rise < goal && at < span) {
            risen += rise;
            at += step;
            rise = tide(at + step / 2, amplitude) * step;
        }
        t = at + (goal - risen) / rise * step;
    }
    return times;
}

}  // namespace

std::uint32_t project::version_at(double time) const
{
    return static_cast<std::uint32_t>(std::upper_bound(changes.begin(), changes.end(), time) - changes.begin());
}

double workload::work_of(const build& b, warmth how) const
{
    return overhead + projects[b.project].cold_work * b.luck * (1 - cached_share(b, how));
}

double workload::cached_share(const build& b, warmth how) const
{
    const double best = projects[b.project].cached_share;
    return how == warmth::warm ? best : how == warmth::outdated ? best / 2 : 0;
}

workload make_workload(const settings& of)
{
    std::mt19937_64 random{of.seed};
    workload made;
    std::lognormal_distribution<double> work{std::log(of.cold_seconds), 0.8};
    std::lognormal_distribution<double> bytes{std::log(of.project_gigabytes * 1e9), 0.8};
    std::uniform_real_distribution<double> cached{0.6, 0.9};
    std::vector<double> share;
    double warm_work = 0;
    double shares = 0;
    for (std::size_t k = 0; k < of.workers * of.projects_per_worker; ++k) {
        project p;
        p.cold_work = std::min(work(random), 7200.);
        p.cached_share = cached(random);
        p.bytes = std::min(bytes(random), of.cache_gigabytes * 1e9 / 4);
        share.push_back(std::pow(static_cast<double>(k + 1), -of.zipf));
        warm_work += share.back() * (overhead + p.cold_work * (1 - p.cached_share));
        shares += share.back();
        made.projects.push_back(std::move(p));
    }
    const double capacity = static_cast<double>(of.workers * of.full_speed) * of.load;
    made.span = static_cast<double>(of.builds) * warm_work / shares / capacity;
    std::exponential_distribution<double> change{1 / of.changes_every};
    for (auto& p : made.projects) {
        for (double t = change(random); t < made.span; t += change(random)) {
            p.changes.push_back(t);
        }
    }
    std::discrete_distribution<std::uint32_t> which{share.begin(), share.end()};
    std::lognormal_distribution<float> luck{0, 0.25F};
    for (const double t : arrivals(of.builds, made.span, of.day_amplitude, random)) {
        made.builds.push_back({t, which(random), luck(random)});
    }
    return made;
}

ideal ideal_of(const workload& load)
{
    struct known {
        std::uint32_t version = 0;
        double since = std::numeric_limits<double>::infinity();
        bool outdated = false;  // an earlier version is there
    };
    std::vector<known> cache(load.projects.size());
    std::size_t warm = 0;
    double time = 0;
    for (const auto& b : load.builds) {
        auto& k = cache[b.project];
        const std::uint32_t version = load.projects[b.project].version_at(b.time);
        if (version != k.version) {
            k.outdated = k.outdated || k.since <= b.time;
            k.version = version;
            k.since = std::numeric_limits<double>::infinity();
        }
        const warmth how = k.since <= b.time ? warmth::warm : k.outdated ? warmth::outdated : warmth::cold;
        const double work = load.work_of(b, how);
        warm += how == warmth::warm ? 1U : 0U;
        time += work;
        k.since = std::min(k.since, b.time + work);
    }
    const auto count = static_cast<double>(load.builds.size());
    return {static_cast<double>(warm) / count, time / count};
}

}  // namespace buildkit_lb::simulation
