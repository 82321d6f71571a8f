#include <catch2/catch.hpp>

#include "buildkit/wire/control.pb.h"
#include "buildkit/wire/gateway.pb.h"
#include "proxy/buildkit/build_record.hpp"
#include "proxy/buildkit/digest_memory.hpp"
#include "proxy/buildkit/pong_memory.hpp"

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

std::string pong(const std::vector<std::string>& capabilities)
{
    wire::gateway::PongResponse response;
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

TEST_CASE("the common Pong is what every worker heard of can do")
{
    pong_memory memory;
    CHECK_FALSE(memory.common().has_value());
    memory.learn("w1", pong({"one", "two"}));
    CHECK(capabilities(memory.common()) == std::vector<std::string>{"one", "two"});
    memory.learn("w2", pong({"two", "three"}));
    CHECK(capabilities(memory.common()) == std::vector<std::string>{"two"});
    // The old worker was upgraded.
    memory.learn("w2", pong({"one", "two", "three"}));
    CHECK(capabilities(memory.common()) == std::vector<std::string>{"one", "two"});
}

TEST_CASE("a Pong that can't be read changes nothing")
{
    pong_memory memory;
    memory.learn("w1", pong({"one"}));
    memory.learn("w2", "\xff\xff\xff");
    CHECK(capabilities(memory.common()) == std::vector<std::string>{"one"});
    memory.learn("w3", pong({"one", "two"}));
    CHECK(capabilities(memory.common()) == std::vector<std::string>{"one"});
}

TEST_CASE("a worker whose newest Pong can't be read is still known by its last good one")
{
    pong_memory memory;
    memory.learn("w1", pong({"one"}));
    memory.learn("w2", pong({"two", "one"}));
    memory.learn("w1", "\xff\xff\xff");
    CHECK(capabilities(memory.common()) == std::vector<std::string>{"one"});
    memory.learn("w2", pong({"two", "three"}));
    CHECK(capabilities(memory.common()).empty());
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

TEST_CASE("running builds are found by their Ref until they are removed")
{
    build_registry registry;
    const auto added = registry.add("ref");
    CHECK(added->ref == "ref");
    CHECK(registry.find("ref") == added);
    CHECK(registry.find("other") == nullptr);
    CHECK(registry.size() == 1);
    registry.remove("ref");
    registry.remove("ref");
    CHECK(registry.find("ref") == nullptr);
    CHECK(registry.size() == 0);
}
