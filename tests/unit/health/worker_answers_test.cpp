#include "health/worker_answers.hpp"

#include <catch2/catch.hpp>

#include "buildkit/wire/control.pb.h"

using namespace buildkit_lb;
using namespace buildkit_lb::health;
using buildkit::grpc_code;

namespace {

/// A map entry as bytes: the generated classes would choose the order.
std::string label(const std::string& key, const std::string& value)
{
    const auto field = [](char tag, const std::string& text) {
        return std::string{tag, static_cast<char>(text.size())} + text;
    };
    return field('\x12', field('\x0a', key) + field('\x12', value));
}

std::string record(const std::string& id, const std::string& more = {})
{
    wire::types::WorkerRecord made;
    made.set_id(id);
    return made.SerializeAsString() + more;
}

std::string list(const std::vector<std::string>& records)
{
    wire::control::ListWorkersResponse response;
    for (const auto& r : records) {
        REQUIRE(response.add_record()->ParseFromString(r));
    }
    return response.SerializeAsString();
}

balancer::worker_facts facts_of(const std::string& only_record)
{
    balancer::worker_facts facts;
    facts.records = {only_record};
    return facts;
}

failure unavailable(std::string_view message, bool connected = false)
{
    endpoint where;
    where.host = "a";
    where.port = 1;
    return call_failure(where, "ListWorkers", grpc_code::unavailable, message, connected);
}

}  // namespace

TEST_CASE("records are kept as they came, with what this program does not know")
{
    const std::string unknown{"\xfa\x3f\x03new", 6};  // field 1023
    const auto facts = read_worker_list(list({record("first", unknown), record("second")}));
    REQUIRE(facts.has_value());
    CHECK(facts->id == "first");
    CHECK(facts->records == std::vector<std::string>{record("first", unknown), record("second")});
}

TEST_CASE("a daemon is known by its ID, version and platforms")
{
    balancer::worker_facts before;
    before.id = "a";
    before.version = "v1";
    before.platforms = {"linux/amd64"};
    auto now = before;
    now.pong = "x";
    CHECK_FALSE(is_other_daemon(before, now));
    const int part = GENERATE(0, 1, 2);
    (part == 0 ? now.id : part == 1 ? now.version : now.platforms[0]) += "x";
    CHECK(is_other_daemon(before, now));
}

TEST_CASE("records whose maps are written in another order say the same")
{
    const auto ab = facts_of(record("id", label("a", "1") + label("b", "2")));
    const auto ba = facts_of(record("id", label("b", "2") + label("a", "1")));
    const auto other = facts_of(record("id", label("b", "1") + label("a", "1")));
    REQUIRE(ab.records != ba.records);
    CHECK(say_the_same(ab, ba));
    CHECK_FALSE(say_the_same(ab, other));
    auto more = ab;
    more.records.push_back(record("second"));
    CHECK_FALSE(say_the_same(ab, more));
    auto pong = ab;
    pong.pong = "x";
    CHECK_FALSE(say_the_same(ab, pong));
}

TEST_CASE("a version that Info tells is better than the record's, and none is not")
{
    balancer::worker_facts facts;
    facts.version = "of the record";
    CHECK(add_info(facts, ""));
    CHECK(facts.version == "of the record");
    wire::control::InfoResponse info;
    info.mutable_buildkitversion()->set_version("v9");
    CHECK(add_info(facts, info.SerializeAsString()));
    CHECK(facts.version == "v9");
    CHECK_FALSE(add_info(facts, "\xff\xff"));
    CHECK(facts.info == info.SerializeAsString());
}

TEST_CASE("a connection that can't be made is told in the words of a TCP probe")
{
    const auto refused = unavailable(
        "failed to connect to all addresses; last error: UNKNOWN: Failed to connect to remote host: Connection "
        "refused");
    CHECK(refused.code == errc::refused);
    CHECK(refused.source == failure_source::upstream);
    CHECK(refused.detail == "tcp://a:1: Connection refused");
    CHECK(unavailable("… No route to host").code == errc::unreachable);
    CHECK(unavailable("DNS resolution failed for a:1").code == errc::resolve_failed);
    CHECK(unavailable("something new").code == errc::unreachable);
    CHECK(unavailable("something new").detail == "tcp://a:1: ListWorkers: UNAVAILABLE: something new");
    // Ours: says nothing about the worker.
    CHECK(unavailable("socket: Too many open files").source == failure_source::internal);
    // The worker's own words.
    CHECK(unavailable("Connection refused", true).detail == "tcp://a:1: ListWorkers: UNAVAILABLE: Connection refused");
}

TEST_CASE("a server serves when its health service says so, and not otherwise")
{
    endpoint where;
    where.host = "a";
    where.port = 1;
    const auto wrong = [&](std::string_view response) {
        const auto read = read_serving(where, response);
        REQUIRE_FALSE(read.has_value());
        return std::pair{read.error().code, read.error().detail};
    };
    CHECK(read_serving(where, "\x08\x01").has_value());
    // Fields of a later version.
    CHECK(read_serving(where, "\x08\x01\x12\x01x").has_value());
    CHECK(wrong("") == std::pair{errc::unreachable, std::string{"tcp://a:1: Health/Check: UNKNOWN"}});
    CHECK(wrong("\x08\x02") == std::pair{errc::unreachable, std::string{"tcp://a:1: Health/Check: NOT_SERVING"}});
    CHECK(wrong("\x08\x03").second == "tcp://a:1: Health/Check: SERVICE_UNKNOWN");
    CHECK(wrong("\x08\x07").second == "tcp://a:1: Health/Check: status 7");
    CHECK(wrong("\xff").first == errc::protocol);
    CHECK(wrong("\x0a\x01x").second == "tcp://a:1: Health/Check: an answer that can't be read");
}

TEST_CASE("a message of a worker is one line, and not endless")
{
    const auto why = unavailable("a\nb" + std::string(10'000, 'x'), true);
    CHECK_THAT(why.detail, Catch::StartsWith("tcp://a:1: ListWorkers: UNAVAILABLE: a bxxx"));
    CHECK(why.detail.size() < 400);
}
