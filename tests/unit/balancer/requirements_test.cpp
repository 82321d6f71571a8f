#include <catch2/catch.hpp>

#include "balancer/policies/registry.hpp"
#include "balancer/pool.hpp"

using namespace buildkit_lb;
using namespace buildkit_lb::balancer;

namespace {

/// A pool whose workers w1, w2, … have told these platforms (none: nothing) and are up.
struct mixed_pool {
    explicit mixed_pool(const std::vector<std::vector<std::string>>& platforms, platform_settings settings = {true, {}},
                        std::vector<label_map> labels = {})
    {
        std::vector<worker_settings> workers;
        for (std::size_t i = 0; i < platforms.size(); ++i) {
            worker_settings w{"w" + std::to_string(i + 1), *parse_endpoint("tcp://127.0.0.1:1"), worker_weight{1}, 1};
            if (i < labels.size()) {
                w.labels = labels[i];
            }
            workers.push_back(std::move(w));
        }
        all = std::make_shared<pool>("mixed", std::move(workers), make_policy("round-robin"),
                                     queue_settings{0, {}, false}, std::move(settings));
        for (std::size_t i = 0; i < platforms.size(); ++i) {
            if (!platforms[i].empty()) {
                tell(i, platforms[i]);
            }
            all->set_health(worker_at(i), worker_health::up, {});
        }
    }

    const worker& worker_at(std::size_t i) { return *all->snapshot()->workers.at(i).worker; }

    void tell(std::size_t i, std::vector<std::string> platforms, label_map labels = {})
    {
        auto facts = std::make_shared<worker_facts>();
        facts->platforms = std::move(platforms);
        facts->labels = std::move(labels);
        all->set_facts(worker_at(i), std::move(facts));
    }

    /// The worker of a build, which stays there; or why there is none.
    std::string place(requirements needs, build_kind kind = build_kind::ordinary)
    {
        admission_request request;
        request.context.needs = std::move(needs);
        request.context.kind = kind;
        auto outcome = all->admit(std::move(request));
        if (!outcome.chosen) {
            why = outcome.why.detail;
            return std::string{to_string(outcome.refused)};
        }
        running.push_back(std::move(*outcome.chosen));
        return running.back().worker()->name();
    }

    std::string place_for(std::vector<std::string> platforms) { return place({std::move(platforms), false, {}}); }

    std::shared_ptr<pool> all;
    std::vector<pick> running;
    std::string why;
};

const std::vector<std::string> amd64{"linux/amd64", "linux/amd64/v2", "linux/386"};
const std::vector<std::string> arm64{"linux/arm64", "linux/arm/v7"};
const std::vector<std::string> amd64_emulating{"linux/amd64", "linux/arm64"};

}  // namespace

TEST_CASE("a build goes to a worker that runs its platform natively", "[requirements]")
{
    mixed_pool pool{{amd64_emulating, arm64, amd64_emulating}};
    CHECK(pool.place_for({"linux/arm64"}) == "w2");
    CHECK(pool.place_for({"linux/amd64"}) == "w1");
    CHECK(pool.place_for({"linux/amd64"}) == "w3");
}

TEST_CASE("a build waits for a native worker that is full rather than being emulated", "[requirements]")
{
    mixed_pool pool{{amd64_emulating, arm64}};
    CHECK(pool.place_for({"linux/arm64"}) == "w2");
    CHECK(pool.place_for({"linux/arm64"}) == "full");
}

TEST_CASE("a build is emulated where no native worker may take it", "[requirements]")
{
    mixed_pool pool{{amd64_emulating, arm64, amd64}};
    pool.all->set_health(pool.worker_at(1), worker_health::down, "gone");
    CHECK(pool.place_for({"linux/arm64"}) == "w1");
}

TEST_CASE("a build for several platforms goes to a worker that has them all", "[requirements]")
{
    mixed_pool pool{{amd64, amd64_emulating, arm64}};
    CHECK(pool.place_for({"linux/amd64", "linux/arm64"}) == "w2");
    CHECK(pool.place_for({"linux/amd64", "linux/386"}) == "w1");
    CHECK(pool.place_for({"linux/amd64", "linux/arm/v7"}) == "no_match");
    CHECK(pool.why.find("no worker of pool mixed has linux/amd64 and linux/arm/v7") == 0);
    CHECK(pool.why.find("w3 has linux/arm64,linux/arm/v7") != std::string::npos);
}

TEST_CASE("a build that names no platform goes to the commonest native one", "[requirements]")
{
    mixed_pool pool{{arm64, amd64, amd64_emulating}};
    CHECK(pool.place_for({}) == "w2");
    CHECK(pool.place_for({}) == "w3");
    CHECK(pool.place_for({}) == "full");
}

TEST_CASE("a build that names no platform goes to the configured one, and nowhere else", "[requirements]")
{
    mixed_pool pool{{amd64, amd64_emulating, arm64}, {true, "linux/arm64"}};
    CHECK(pool.place_for({}) == "w3");
    mixed_pool none{{amd64, amd64_emulating}, {true, "linux/arm64"}};
    CHECK(none.place_for({}) == "no_match");
    CHECK(none.why.find("linux/arm64 natively (the default platform)") != std::string::npos);
    CHECK(none.why.find("w1 has linux/amd64; w2 has linux/amd64") != std::string::npos);
}

TEST_CASE("a client's own builds may go anywhere unless they name a platform", "[requirements]")
{
    mixed_pool pool{{arm64, amd64, amd64}};
    std::vector<std::string> where;
    for (int i = 0; i < 3; ++i) {
        where.push_back(pool.place({{}, true, {}}, build_kind::internal));
    }
    CHECK(where == std::vector<std::string>{"w1", "w2", "w3"});
    CHECK(pool.place({{"linux/arm64"}, false, {}}, build_kind::internal) == "w1");
}

TEST_CASE("workers that have told nothing are the last choice", "[requirements]")
{
    mixed_pool pool{{{}, amd64}};
    CHECK(pool.place_for({"linux/amd64"}) == "w2");
    CHECK(pool.place_for({"linux/arm64"}) == "w1");
    mixed_pool silent{{{}, {}}};
    CHECK(silent.place_for({"linux/arm64"}) == "w1");
    CHECK(silent.place_for({}) == "w2");
}

TEST_CASE("workers that are down but have the platform make it unavailable, not impossible", "[requirements]")
{
    mixed_pool pool{{amd64, arm64}};
    pool.all->set_health(pool.worker_at(1), worker_health::down, "gone");
    CHECK(pool.place_for({"linux/arm64"}) == "no_worker");
    CHECK(pool.why.find("w1 has linux/amd64,") != std::string::npos);
    CHECK(pool.why.find("w2 down: gone") != std::string::npos);
    CHECK(pool.place_for({"linux/riscv64"}) == "no_match");
}

TEST_CASE("without platform routing platforms do not matter", "[requirements]")
{
    mixed_pool pool{{amd64, arm64}, {false, {}}};
    CHECK(pool.place_for({"linux/riscv64"}) == "w1");
    CHECK(pool.place_for({}) == "w2");
}

TEST_CASE("a worker that turns out to be another one is known by its new platforms", "[requirements]")
{
    mixed_pool pool{{amd64, amd64}};
    CHECK(pool.place_for({"linux/arm64"}) == "no_match");
    pool.tell(1, arm64);
    CHECK(pool.place_for({"linux/arm64"}) == "w2");
}

TEST_CASE("labels come from the configuration, else from the worker itself", "[requirements]")
{
    mixed_pool pool{{amd64, amd64, arm64}, {true, {}}, {label_map{{"disk", "hdd"}}, label_map{{"disk", "ssd"}}}};
    pool.tell(0, amd64, {{"disk", "ssd"}, {"zone", "a"}});
    CHECK(pool.place({{}, false, {{{"disk", "ssd"}}}}) == "w2");
    CHECK(pool.place({{}, false, {{{"zone", "a"}}}}) == "w1");
    CHECK(pool.place({{}, false, {{{"zone", "a"}}, {{"disk", "ssd"}}}}) == "no_match");
    CHECK(pool.why.find("zone=a and disk=ssd") != std::string::npos);
    CHECK(pool.why.find("w1 has disk=hdd; w2 has no zone; w3 has no zone, no disk") != std::string::npos);
}

TEST_CASE("the default platform of builds with labels is that of the workers that have them", "[requirements]")
{
    mixed_pool pool{{amd64, amd64, arm64}};
    CHECK(pool.place({{}, false, {{{"platform", "linux/arm64"}}}}) == "w3");
}
