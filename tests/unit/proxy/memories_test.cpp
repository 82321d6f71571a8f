#include <catch2/catch.hpp>

#include "buildkit/wire/control.pb.h"
#include "buildkit/wire/gateway.pb.h"
#include "proxy/buildkit/build_record.hpp"
#include "proxy/buildkit/digest_memory.hpp"
#include "proxy/buildkit/history_follower.hpp"
#include "proxy/buildkit/pong_memory.hpp"
#include "proxy/buildkit/worker_memory.hpp"

using namespace buildkit_lb;
using namespace buildkit_lb::proxy;

namespace {

std::shared_ptr<balancer::worker> worker(const std::string& name)
{
    balancer::worker_settings settings;
    settings.name = name;
    return std::make_shared<balancer::worker>(settings);
}

std::string digest(char fill)
{
    return "sha256:" + std::string(64, fill);
}

std::string event_with(const std::vector<std::string>& digests)
{
    wire::control::BuildHistoryEvent event;
    auto& record = *event.mutable_record();
    record.set_ref("ref");
    for (const auto& d : digests) {
        record.mutable_result()->add_attestations()->set_digest(d);
    }
    return event.SerializeAsString();
}

std::string pong(const std::vector<std::string>& capabilities, const std::string& architecture = {})
{
    wire::gateway::PongResponse response;
    if (!architecture.empty()) {
        response.add_workers()->add_platforms()->set_architecture(architecture);
    }
    for (const auto& id : capabilities) {
        auto& cap = *response.add_frontendapicaps();
        cap.set_id(id);
        cap.set_enabled(true);
    }
    return response.SerializeAsString();
}

std::vector<std::string> capabilities(const std::optional<std::string>& bytes)
{
    wire::gateway::PongResponse response;
    REQUIRE(bytes.has_value());
    REQUIRE(response.ParseFromString(*bytes));
    std::vector<std::string> ids;
    for (const auto& cap : response.frontendapicaps()) {
        ids.push_back(cap.id());
    }
    return ids;
}

std::string architecture(const std::optional<std::string>& bytes)
{
    wire::gateway::PongResponse response;
    REQUIRE(response.ParseFromString(bytes.value()));
    return response.workers(0).platforms(0).architecture();
}

/// A pool as it is at one moment: its workers are up, and nothing is known of them.
pong_memory::snapshot pool_of(const std::vector<std::string>& names)
{
    balancer::pool_snapshot made;
    for (const auto& name : names) {
        balancer::worker_view view;
        view.worker = worker(name);
        view.health = balancer::worker_health::up;
        made.workers.push_back(std::move(view));
    }
    return std::make_shared<const balancer::pool_snapshot>(std::move(made));
}

const balancer::worker& worker_of(const pong_memory::snapshot& pool, std::size_t index)
{
    return *pool->workers.at(index).worker;
}

void change(pong_memory::snapshot& pool, std::size_t index, const std::function<void(balancer::worker_view&)>& how)
{
    auto next = std::make_shared<balancer::pool_snapshot>(*pool);
    how(next->workers.at(index));
    pool = std::move(next);
}

/// A probe has learned what the worker says of itself.
void tell(pong_memory::snapshot& pool, std::size_t index, const std::string& pong)
{
    change(pool, index, [&](auto& view) {
        balancer::worker_facts facts;
        facts.pong = pong;
        view.facts = std::make_shared<const balancer::worker_facts>(std::move(facts));
    });
}

std::string status_with(const std::string& vertex_digest, bool cached)
{
    wire::control::StatusResponse status;
    auto& vertex = *status.add_vertexes();
    vertex.set_digest(vertex_digest);
    vertex.set_cached(cached);
    vertex.mutable_started()->set_seconds(1);
    vertex.mutable_completed()->set_seconds(2);
    return status.SerializeAsString();
}

}  // namespace

TEST_CASE("every digest of a history event is known to be its worker's")
{
    digest_memory memory{10};
    const auto w1 = worker("w1");
    memory.learn(event_with({digest('a'), digest('b')}), w1);

    CHECK(memory.find(digest('a')) == w1);
    CHECK(memory.find(digest('b')) == w1);
    CHECK(memory.find(digest('c')) == nullptr);

    const auto w2 = worker("w2");
    memory.learn(event_with({digest('b')}), w2);
    CHECK(memory.find(digest('b')) == w2);
    CHECK(memory.size() == 2);
}

TEST_CASE("what only looks like a digest is not learned")
{
    digest_memory memory{10};
    memory.learn(event_with({"sha256:abc", "sha256:" + std::string(64, 'G'), "sha512:" + std::string(64, 'a')}),
                 worker("w1"));
    memory.learn("sha256:" + std::string(63, 'a'), worker("w1"));
    CHECK(memory.size() == 0);
}

TEST_CASE("the digests learned first are forgotten first")
{
    digest_memory memory{3};
    const auto w1 = worker("w1");
    for (const char fill : {'a', 'b', 'c', 'd', 'e'}) {
        memory.learn(event_with({digest(fill)}), w1);
        memory.learn(event_with({digest(fill)}), w1);  // the second time adds nothing
    }
    CHECK(memory.size() == 3);
    CHECK(memory.find(digest('b')) == nullptr);
    CHECK(memory.find(digest('c')) == w1);
    CHECK(memory.find(digest('e')) == w1);
}

TEST_CASE("without probes that ask, a Pong is answered for the workers that were heard of")
{
    const auto workers = pool_of({"w1", "w2"});
    pong_memory memory;
    CHECK_FALSE(memory.of_known(workers).has_value());
    memory.learn(worker_of(workers, 0), "", workers);  // nothing is an answer too
    CHECK(capabilities(memory.of_known(workers)).empty());
    memory.learn(worker_of(workers, 0), pong({"one", "two"}), workers);
    CHECK(capabilities(memory.of_known(workers)) == std::vector<std::string>{"one", "two"});
    memory.learn(worker_of(workers, 1), pong({"two", "three"}), workers);
    CHECK(capabilities(memory.of_known(workers)) == std::vector<std::string>{"two"});
    // The old worker was upgraded.
    memory.learn(worker_of(workers, 1), pong({"one", "two", "three"}), workers);
    CHECK(capabilities(memory.of_known(workers)) == std::vector<std::string>{"one", "two"});
    // Nobody would notice that one of them has become another: not for all.
    CHECK_FALSE(memory.of_all(workers).has_value());
}

TEST_CASE("a Pong that can't be read changes nothing")
{
    const auto workers = pool_of({"w1", "w2"});
    pong_memory memory;
    memory.learn(worker_of(workers, 0), pong({"one"}), workers);
    memory.learn(worker_of(workers, 1), "\xff\xff\xff", workers);
    memory.learn(worker_of(workers, 0), "\xff\xff\xff", workers);
    CHECK(capabilities(memory.of_known(workers)) == std::vector<std::string>{"one"});
}

TEST_CASE("a Pong is for all workers that take builds, or there is none")
{
    auto workers = pool_of({"w1", "w2", "w3"});
    pong_memory memory;
    tell(workers, 0, pong({"one", "two"}));
    CHECK_FALSE(memory.of_all(workers).has_value());
    CHECK(capabilities(memory.of_known(workers)) == std::vector<std::string>{"one", "two"});

    tell(workers, 1, pong({"two", "three"}));
    tell(workers, 2, pong({"three"}));
    CHECK(capabilities(memory.of_all(workers)).empty());
    change(workers, 2, [](auto& view) { view.health = balancer::worker_health::down; });
    CHECK(capabilities(memory.of_all(workers)) == std::vector<std::string>{"two"});
    change(workers, 1, [](auto& view) { view.draining = true; });
    CHECK(capabilities(memory.of_all(workers)) == std::vector<std::string>{"one", "two"});
}

TEST_CASE("while no worker takes builds a Pong is for those that were known once")
{
    auto workers = pool_of({"w1", "w2", "w3"});
    pong_memory memory;
    tell(workers, 0, pong({"one", "two"}));
    tell(workers, 1, pong({"two"}));
    for (std::size_t i = 0; i < 3; ++i) {
        change(workers, i, [](auto& view) { view.health = balancer::worker_health::down; });
    }
    CHECK(capabilities(memory.of_all(workers)) == std::vector<std::string>{"two"});
    CHECK_FALSE(memory.of_all(pool_of({"w1"})).has_value());
}

TEST_CASE("an answer that has passed stands in for a probe's, as long as the worker is the same")
{
    auto workers = pool_of({"w1", "w2"});
    pong_memory memory;
    tell(workers, 0, pong({"one", "two"}));
    tell(workers, 1, {});  // it is known, but for its capabilities
    CHECK_FALSE(memory.of_all(workers).has_value());
    memory.learn(worker_of(workers, 1), pong({"two"}), workers);
    CHECK(capabilities(memory.of_all(workers)) == std::vector<std::string>{"two"});
    tell(workers, 1, {});
    CHECK_FALSE(memory.of_all(workers).has_value());
}

TEST_CASE("the workers in a Pong are those of the commonest platform")
{
    auto workers = pool_of({"w1", "w2", "w3"});
    pong_memory memory;
    tell(workers, 0, pong({"one"}, "arm64"));
    tell(workers, 1, pong({"one"}, "amd64"));
    tell(workers, 2, pong({"one"}, "amd64"));
    CHECK(architecture(memory.of_all(workers)) == "amd64");
    change(workers, 1, [](auto& view) { view.health = balancer::worker_health::down; });
    CHECK(architecture(memory.of_all(workers)) == "arm64");  // as many of each: the first
}

TEST_CASE("a build's record counts the steps its Status tells of")
{
    build_record record;
    record.status_message(status_with("sha256:1", true));
    record.status_message(status_with("sha256:2", false));
    record.status_message("\xff\xff");
    record.status_message(status_with("sha256:2", false));
    CHECK(record.totals().completed == 2);
    CHECK(record.totals().cached == 1);
    CHECK(record.totals().executed == 1);
}

TEST_CASE("the end of Status is told once the last of its streams has ended")
{
    build_record record;
    int told = 0;
    record.when_status_closed([&](bool) { ++told; });
    CHECK(told == 1);  // none is open

    record.status_opened();
    record.status_opened();
    record.when_status_closed([&](bool) { ++told; });
    record.status_closed();
    CHECK(told == 1);
    record.status_closed();
    CHECK(told == 2);
    record.status_opened();
    record.status_closed();
    CHECK(told == 2);
}

TEST_CASE("builds are found by their Ref until they are removed")
{
    build_registry registry;
    const auto added = std::make_shared<build_record>();
    added->ref = "ref";
    registry.add(added);
    CHECK(registry.find("ref") == added);
    CHECK(registry.find("other") == nullptr);
    CHECK(registry.size() == 1);
    build_record another;
    another.ref = "ref";
    registry.remove(another);
    CHECK(registry.find("ref") == added);
    registry.remove(*added);
    registry.remove(*added);
    CHECK(registry.find("ref") == nullptr);
    CHECK(registry.size() == 0);
}

TEST_CASE("siblings are other builds of one invocation, internal ones left out")
{
    build_registry registry;
    const auto add = [&](const char* ref, const char* invocation, bool internal = false) {
        const auto made = std::make_shared<build_record>();
        made->ref = ref;
        made->invocation = invocation;
        made->internal = internal;
        registry.add(made);
        return made;
    };
    const auto a = add("a", "bake");
    add("b", "other");
    add("c", "bake", true);
    CHECK_FALSE(registry.has_siblings(*a));
    add("d", "bake");
    CHECK(registry.has_siblings(*a));
}

TEST_CASE("a build moves with its Status, is busy while a step is open, and is left out before and after it runs")
{
    build_registry registry;
    const auto build = std::make_shared<build_record>();
    build->ref = "ref";
    build->invocation = "bake";
    registry.add(build);
    CHECK(registry.motions().empty());

    build->status_opened();
    build->moves(build_record::motion_state::being_sent);
    REQUIRE(registry.motions().size() == 1);
    CHECK(registry.motions()[0].busy);
    CHECK_FALSE(build->place().has_value());
    build->status_closed();

    build->placed({"w1", "round-robin", "turn", false, clock::now()});
    CHECK(build->place()->worker == "w1");
    REQUIRE(registry.motions().size() == 1);
    CHECK(registry.motions()[0].invocation == "bake");
    CHECK(registry.motions()[0].busy);  // nobody reads its Status: who knows
    const auto sent = registry.motions()[0].last_moved;

    build->status_opened();
    CHECK_FALSE(registry.motions()[0].busy);
    wire::control::StatusResponse started;
    started.add_vertexes()->set_digest("sha256:1");
    started.mutable_vertexes(0)->mutable_started()->set_seconds(1);
    build->status_message(started.SerializeAsString());
    CHECK(registry.motions()[0].busy);
    CHECK(registry.motions()[0].last_moved > sent);
    started.mutable_vertexes(0)->mutable_completed()->set_seconds(2);
    build->status_message(started.SerializeAsString());
    CHECK_FALSE(registry.motions()[0].busy);

    build->moves(build_record::motion_state::none);
    CHECK(registry.motions().empty());
}

TEST_CASE("a trace is known by the Solves that belong to it, on every worker they went to")
{
    trace_memory memory{2};
    const auto w1 = worker("w1");
    const auto w2 = worker("w2");
    const auto solve = [](char fill) {
        return http2::header_list{{"traceparent", "00-" + std::string(32, fill) + "-b7ad6b7169203331-01"}};
    };
    memory.learn(solve('a'), w1);
    memory.learn(solve('a'), w2);
    memory.learn(solve('a'), w1);
    memory.learn(http2::header_list{}, w1);
    CHECK(memory.size() == 1);
    CHECK(memory.find({std::string(32, 'a')}) == trace_memory::workers{w1, w2});
    CHECK(memory.find({std::string(32, 'b')}).empty());

    memory.learn(solve('b'), w2);
    CHECK(memory.find({std::string(32, 'b'), std::string(32, 'a')}) == trace_memory::workers{w2, w1});
    memory.learn(solve('c'), w2);
    CHECK(memory.size() == 2);
    CHECK(memory.find({std::string(32, 'a')}).empty());
}

TEST_CASE("what was told is not told again, as far as it is remembered")
{
    told_events told{2};
    CHECK(told.add(1));
    CHECK_FALSE(told.add(1));
    CHECK(told.add(2));
    CHECK(told.add(3));
    CHECK_FALSE(told.add(2));
    CHECK(told.add(1));
}

TEST_CASE("a memory without room knows nothing")
{
    worker_memory memory{0};
    memory.learn("ref", worker("w1"));
    CHECK(memory.size() == 0);
    CHECK(memory.find("ref") == nullptr);
}
