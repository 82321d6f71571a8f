#include "buildkit/pool_answers.hpp"

#include <catch2/catch.hpp>

#include "buildkit/wire/control.pb.h"

using namespace buildkit_lb;
using namespace buildkit_lb::buildkit;

namespace {

std::string record(const std::string& id, const std::string& arch, const std::string& more = {})
{
    wire::types::WorkerRecord r;
    r.set_id(id);
    auto& platform = *r.add_platforms();
    platform.set_os("linux");
    platform.set_architecture(arch);
    return r.SerializeAsString() + more;
}

std::vector<std::string> ids(const std::string& response)
{
    wire::control::ListWorkersResponse parsed;
    REQUIRE(parsed.ParseFromString(response));
    std::vector<std::string> all;
    for (const auto& r : parsed.record()) {
        all.push_back(r.id());
    }
    return all;
}

std::string info(const std::string& version)
{
    wire::control::InfoResponse response;
    response.mutable_buildkitversion()->set_version(version);
    return response.SerializeAsString();
}

// Field 1000, a text: no message of ours declares it.
const std::string unknown_field{"\xc2\x3e\x03new", 6};

}  // namespace

TEST_CASE("workers of the pool's commonest native platform come first, and otherwise their order stays")
{
    CHECK(ids(merge_worker_records({record("a", "arm64"), record("b", "amd64"), record("c", "amd64")})) ==
          std::vector<std::string>{"b", "c", "a"});
    CHECK(ids(merge_worker_records({record("a", "arm64"), record("b", "amd64")})) ==
          std::vector<std::string>{"a", "b"});
    CHECK(merge_worker_records({}).empty());
}

TEST_CASE("a worker ID is listed once, however many names its daemon has, and counts once for the platform")
{
    CHECK(ids(merge_worker_records({record("a", "arm64"), record("a", "arm64"), record("b", "amd64"),
                                    record("c", "amd64")})) == std::vector<std::string>{"b", "c", "a"});
}

TEST_CASE("records keep the fields that this program does not know")
{
    const auto merged = merge_worker_records({record("a", "amd64", unknown_field)});
    CHECK_THAT(merged, Catch::Contains(unknown_field));
    CHECK(worker_records(merged) == std::vector<std::string>{record("a", "amd64", unknown_field)});
    CHECK_FALSE(worker_records("\x0a\x7f").has_value());
}

TEST_CASE("a large record keeps its length")
{
    const auto large = record("a", "amd64", std::string{"\xc2\x3e\xac\x02", 4} + std::string(300, 'x'));
    CHECK(worker_records(merge_worker_records({large})) == std::vector<std::string>{large});
}

TEST_CASE("Info speaks for the oldest version; one that tells none is the oldest")
{
    const std::string newest = info("v0.34.2");
    const std::string oldest = info("v0.13.0");
    const std::string candidate = info("v0.13.0-rc1");
    const std::string silent;
    CHECK(oldest_info({newest, oldest}) == 1);
    CHECK(oldest_info({oldest, candidate, newest}) == 1);
    CHECK(oldest_info({oldest, newest, silent}) == 2);
    CHECK(oldest_info({newest, newest}) == 0);
}

TEST_CASE("totals of a disk usage are its records and their bytes")
{
    wire::control::DiskUsageResponse usage;
    usage.add_record()->set_size(1000);
    usage.add_record()->set_size(24);
    const auto total = total_of(usage.SerializeAsString());
    CHECK(total.records == 2);
    CHECK(total.bytes == 1024);
}

TEST_CASE("of several errors the one is told that says most")
{
    const grpc_ending lost{grpc_code::unavailable, "lost", {}};
    const grpc_ending absent{grpc_code::not_found, "no such build", {}};
    const grpc_ending old{grpc_code::unimplemented, "unknown method", {}};
    const grpc_ending broken{grpc_code::internal, "disk full", {}};
    CHECK(most_telling({lost, absent, broken, old}).message == "disk full");
    CHECK(most_telling({lost, old, absent}).message == "no such build");
    CHECK(most_telling({lost, old}).message == "unknown method");
    CHECK(most_telling({lost, {grpc_code::unavailable, "second", {}}}).message == "lost");
}

TEST_CASE("a worker that was told to stop says in two ways that a build is cancelled")
{
    CHECK(is_cancelled({grpc_code::cancelled, "context canceled", {}}));
    CHECK(is_cancelled({grpc_code::unknown, "failed to solve: got 1 SIGTERM/SIGINTs, forcing shutdown", {}}));
    CHECK(is_cancelled({grpc_code::unavailable, "got SIGTERM/SIGINT, forcing shutdown", {}}));
    CHECK_FALSE(is_cancelled({grpc_code::ok, "got SIGTERM/SIGINT, forcing shutdown", {}}));
    CHECK_FALSE(is_cancelled({grpc_code::unknown, "got SIGTERM/SIGINT, forcing shutdown: exit code 1", {}}));
    CHECK_FALSE(is_cancelled({grpc_code::unavailable, "transport is closing", {}}));
}

TEST_CASE("a worker that does not know a build says so")
{
    CHECK(is_unknown_build({grpc_code::not_found, "forwarding Solve: no such job r1", {}}, "r1"));
    CHECK(is_unknown_build({grpc_code::unknown, "no such job r1", {}}, "r1"));
    CHECK_FALSE(is_unknown_build({grpc_code::not_found, "no such job r2", {}}, "r1"));
    CHECK_FALSE(is_unknown_build({grpc_code::not_found, "no such job r11", {}}, "r1"));
    CHECK_FALSE(is_unknown_build({grpc_code::ok, "no such job r1", {}}, "r1"));
}
