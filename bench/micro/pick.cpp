// What it costs to choose a worker: pool::pick_worker under cache-affinity, with its lock and the count of the build,
// by the number of workers, with 100,000 keys remembered. bench/README.md tells how to run and read it.

#include <benchmark/benchmark.h>
#include <memory>
#include <string>
#include <vector>

#include "balancer/policies/registry.hpp"
#include "balancer/pool.hpp"

namespace {

using namespace buildkit_lb;
using namespace buildkit_lb::balancer;

constexpr std::size_t remembered = 100'000;
constexpr std::size_t cold_keys = 4096;

std::string key(std::string_view kind, std::size_t number)
{
    return "git.example.test/" + std::string{kind} + "/project-" + std::to_string(number);
}

/// A pool whose policy remembers `remembered` keys, and the builds that keep its workers busy.
struct stage {
    stage(std::size_t workers, std::size_t weights, std::size_t builds_on_each)
    {
        std::vector<worker_settings> all(workers);
        for (std::size_t i = 0; i < workers; ++i) {
            all[i].name = "worker-" + std::to_string(i);
            all[i].weight = worker_weight{static_cast<std::uint32_t>(1 + i % weights)};
        }
        made = std::make_shared<pool>("default", std::move(all), make_policy("cache-affinity", {.memory = remembered}));
        for (std::size_t k = 0; k < remembered; ++k) {
            const std::string known = key("warm", k);
            pick_context context;
            context.key = known;
            context.now = now;
            const auto chosen = made->pick_worker(context);
            made->build_succeeded(known, chosen->worker()->name(), 0.9, now);
        }
        const auto snapshot = made->snapshot();
        for (const auto& view : snapshot->workers) {
            for (std::size_t n = 0; n < builds_on_each; ++n) {
                busy.emplace_back(view.worker);
            }
        }
    }

    time_point now{std::chrono::hours{1}};
    std::shared_ptr<pool> made;
    std::vector<lease> busy;
};

void pick_many(benchmark::State& state, std::string_view kind, std::size_t weights, std::size_t builds_on_each)
{
    const stage s{static_cast<std::size_t>(state.range(0)), weights, builds_on_each};
    std::vector<pick_context> contexts(kind == "warm" ? remembered : cold_keys);
    for (std::size_t i = 0; i < contexts.size(); ++i) {
        // Far apart, so that neighbours in time are none in memory.
        contexts[i].key = key(kind, i * 7919 % contexts.size());
        contexts[i].now = s.now;
    }
    std::size_t next = 0;
    for (auto _ : state) {
        auto chosen = s.made->pick_worker(contexts[next]);
        benchmark::DoNotOptimize(chosen);
        next = next + 1 == contexts.size() ? 0 : next + 1;
    }
}

/// Its home has room.
void warm(benchmark::State& state)
{
    pick_many(state, "warm", 1, 1);
}

/// Every worker has more than spill_after builds, so that the bound must be calculated.
void warm_busy(benchmark::State& state)
{
    pick_many(state, "warm", 1, 5);
}

void cold(benchmark::State& state)
{
    pick_many(state, "cold", 1, 1);
}

void cold_busy(benchmark::State& state)
{
    pick_many(state, "cold", 1, 5);
}

/// Workers of four weights.
void cold_weights(benchmark::State& state)
{
    pick_many(state, "cold", 4, 1);
}

BENCHMARK(warm)->RangeMultiplier(10)->Range(10, 10'000);
BENCHMARK(warm_busy)->RangeMultiplier(10)->Range(10, 10'000);
BENCHMARK(cold)->RangeMultiplier(10)->Range(10, 10'000);
BENCHMARK(cold_busy)->RangeMultiplier(10)->Range(10, 10'000);
BENCHMARK(cold_weights)->RangeMultiplier(10)->Range(10, 10'000);

}  // namespace

BENCHMARK_MAIN();
