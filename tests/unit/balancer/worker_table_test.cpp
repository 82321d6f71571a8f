#include "balancer/worker_table.hpp"

#include <catch2/catch.hpp>
#include <random>

#include "balancer/obstacle.hpp"
#include "balancer/open_workers.hpp"
#include "balancer/policies/rendezvous.hpp"
#include "balancer/pool_snapshot.hpp"

using namespace buildkit_lb;
using namespace buildkit_lb::balancer;

namespace {

std::shared_ptr<const worker_facts> random_facts(std::mt19937& random)
{
    const std::vector<std::vector<std::string>> platforms{
        {}, {"linux/amd64"}, {"linux/arm64"}, {"linux/amd64", "linux/arm64"}};
    auto made = std::make_shared<worker_facts>();
    made->platforms = platforms[random() % platforms.size()];
    return random() % 5 == 0 ? nullptr : made;
}

requirements random_needs(std::mt19937& random)
{
    const std::vector<std::vector<std::string>> platforms{
        {}, {}, {"linux/amd64"}, {"linux/arm64"}, {"linux/amd64", "linux/arm64"}};
    requirements made;
    made.platforms = platforms[random() % platforms.size()];
    made.any_platform = random() % 4 == 0;
    return made;
}

std::shared_ptr<pool_snapshot> random_snapshot(std::mt19937& random, std::size_t count)
{
    auto made = std::make_shared<pool_snapshot>();
    for (std::size_t i = 0; i < count; ++i) {
        worker_settings s;
        s.name = "w" + std::to_string(i);
        s.weight = worker_weight{static_cast<std::uint32_t>(1 + random() % 3)};
        s.max_builds = static_cast<std::uint32_t>(random() % 3);
        s.max_internal_builds = static_cast<std::uint32_t>(1 + random() % 3);
        worker_view view;
        view.worker = std::make_shared<worker>(s);
        view.health = static_cast<worker_health>(random() % 3);
        view.draining = random() % 5 == 0;
        view.facts = random_facts(random);
        made->workers.push_back(std::move(view));
    }
    return made;
}

worker_table table_of(const pool_snapshot& snapshot)
{
    std::vector<std::shared_ptr<worker>> all;
    for (const auto& view : snapshot.workers) {
        all.push_back(view.worker);
    }
    return worker_table{std::move(all)};
}

}  // namespace

TEST_CASE("who may take a build by the table is who has no obstacle and fits as well as anybody open")
{
    std::mt19937 random{GENERATE(range(1U, 9U))};
    const auto first = random_snapshot(random, 20);
    const worker_table table = table_of(*first);
    const platform_settings platforms{true, GENERATE("", "linux/amd64")};
    open_workers open{platforms};
    std::shared_ptr<const pool_snapshot> now = first;
    std::vector<lease> running;
    for (int round = 0; round < 200; ++round) {
        const auto any = [&] { return now->workers[random() % 20].worker; };
        running.emplace_back(any(), random() % 2 == 0 ? build_kind::ordinary : build_kind::internal);
        if (running.size() > 25) {
            running.erase(running.begin());
        }
        if (random() % 10 == 0) {
            auto next = std::make_shared<pool_snapshot>(*now);
            next->workers[random() % 20].health = static_cast<worker_health>(random() % 3);
            next->workers[random() % 20].facts = random_facts(random);
            now = next;
        }
        pick_context context;
        context.kind = random() % 2 == 0 ? build_kind::ordinary : build_kind::internal;
        context.over_cap = random() % 4 == 0;
        context.include_down = random() % 4 == 0;
        if (random() % 4 == 0) {
            context.excluded.push_back(any());
        }
        context.needs = random_needs(random);
        const candidates from{table, open.limits(now, context), context.kind};
        const fitting_workers fitting{*now, context.needs, platforms};
        fitness best = fitness::none;
        for (const auto& view : now->workers) {
            const auto found = find_obstacle(view, context);
            if (found == obstacle::none || found == obstacle::full) {
                best = std::max(best, fitting.of(view));
            }
        }
        std::vector<std::uint32_t> expected;
        candidates::sums sums;
        for (std::uint32_t i = 0; i < 20; ++i) {
            const auto& w = *now->workers[i].worker;
            if (best != fitness::none && fitting.of(now->workers[i]) == best &&
                find_obstacle(now->workers[i], context) == obstacle::none) {
                expected.push_back(i);
                sums.builds += context.kind == build_kind::internal ? w.internal_builds() : w.active_builds();
                sums.weights += w.weight().value * slow_start::unit;
            }
        }
        std::vector<std::uint32_t> listed{99};
        from.list(listed);
        REQUIRE(listed == expected);
        REQUIRE(from.any() == !expected.empty());
        REQUIRE(from.sum().builds == sums.builds);
        REQUIRE(from.sum().weights == sums.weights);
    }
}

TEST_CASE("the rendezvous table finds the worker with the highest score, without scoring all")
{
    std::mt19937_64 random{GENERATE(range(1U, 5U))};
    const std::uint32_t kinds_of_weight = GENERATE(1U, 2U, 5U, 1000U);
    const std::size_t count = GENERATE(std::size_t{1}, std::size_t{7}, std::size_t{300});
    std::vector<std::uint64_t> hashes;
    std::vector<worker_weight> weights;
    for (std::size_t i = 0; i < count; ++i) {
        hashes.push_back(random());
        weights.emplace_back(static_cast<std::uint32_t>(1 + random() % kinds_of_weight));
    }
    const rendezvous_table table{hashes, weights};
    std::size_t asked = 0;
    for (int round = 0; round < 100; ++round) {
        const std::uint64_t key = random();
        const std::uint64_t chance = 1 + random() % 4;
        std::vector<bool> may;
        std::optional<std::size_t> expected;
        for (std::size_t i = 0; i < count; ++i) {
            may.push_back(random() % chance == 0);
            if (may[i] && (!expected || rendezvous_score(key, hashes[i], weights[i]) >
                                            rendezvous_score(key, hashes[*expected], weights[*expected]))) {
                expected = i;
            }
        }
        const auto found = table.best(key, [&](std::size_t i) {
            ++asked;
            return bool{may[i]};
        });
        REQUIRE(found == expected);
    }
    if (count == 300) {
        CHECK(asked < 100 * 40);
    }
}
