#include <catch2/catch.hpp>

#include "buildkit/wire/control.pb.h"
#include "support/fake_buildkit.hpp"

using namespace buildkit_lb;
using namespace buildkit_lb::test;
using namespace std::chrono_literals;
using buildkit::grpc_code;
using Catch::Contains;

namespace {

constexpr std::string_view list_path = "/moby.buildkit.v1.Control/ListWorkers";
constexpr std::string_view info_path = "/moby.buildkit.v1.Control/Info";
constexpr std::string_view usage_path = "/moby.buildkit.v1.Control/DiskUsage";
constexpr std::string_view prune_path = "/moby.buildkit.v1.Control/Prune";
constexpr std::string_view health_path = "/grpc.health.v1.Health/Check";
constexpr std::string_view watch_path = "/grpc.health.v1.Health/Watch";
constexpr std::string_view export_path = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
constexpr std::string_view reflection_path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";

// Field 1000, a text: no message of ours declares it.
const std::string unknown_field{"\xc2\x3e\x03new", 6};

std::string record(const std::string& id, const std::string& arch = "amd64")
{
    wire::types::WorkerRecord r;
    r.set_id(id);
    auto& platform = *r.add_platforms();
    platform.set_os("linux");
    platform.set_architecture(arch);
    return r.SerializeAsString() + unknown_field;
}

std::string list_of(const std::string& r)
{
    return std::string{"\x0a"} + static_cast<char>(r.size()) + r;
}

std::string info(const std::string& version)
{
    wire::control::InfoResponse response;
    response.mutable_buildkitversion()->set_version(version);
    return response.SerializeAsString();
}

std::string usage(const std::string& id, std::int64_t size, std::size_t description = 0)
{
    wire::control::DiskUsageResponse response;
    auto& r = *response.add_record();
    r.set_id(id);
    r.set_size(size);
    r.set_description(std::string(description, 'x'));
    return response.SerializeAsString();
}

std::vector<std::string> ids(const std::string& list)
{
    wire::control::ListWorkersResponse response;
    REQUIRE(response.ParseFromString(list));
    std::vector<std::string> all;
    for (const auto& r : response.record()) {
        all.push_back(r.id());
    }
    return all;
}

void set_facts(buildkit_stage& stage, std::size_t index, const std::string& id, const std::string& version,
               const std::string& arch = "amd64")
{
    balancer::worker_facts facts;
    facts.id = id;
    facts.records = {record(id, arch)};
    facts.info = version.empty() ? std::string{} : info(version);
    stage.lb->pool().set_facts(*stage.lb->worker(index), std::make_shared<balancer::worker_facts>(facts));
}

/// Calls, and waits for the end.
grpc_stream& ask(buildkit_stage& stage, std::string_view path, std::string_view message = {}, const fields& more = {})
{
    auto& call = stage.client().connection().call(path, message, more);
    REQUIRE(stage.until([&] { return call.closed; }));
    return call;
}

std::string solve_message(const std::string& ref)
{
    wire::control::SolveRequest request;
    request.set_ref(ref);
    return request.SerializeAsString();
}

bool nobody_was_asked(const buildkit_stage& stage)
{
    return std::all_of(stage.workers.begin(), stage.workers.end(), [](const auto& w) { return w.calls().empty(); });
}

}  // namespace

TEST_CASE("ListWorkers and Info are answered from what workers said of themselves, without asking anybody")
{
    buildkit_stage stage{3};
    set_facts(stage, 0, "id1", "v0.34.2", "arm64");
    set_facts(stage, 1, "id2", "v0.13.0");
    set_facts(stage, 2, "id3", "v0.34.2");

    const auto& list = ask(stage, list_path);
    REQUIRE(list.messages.size() == 1);
    CHECK(ids(list.messages[0]) == std::vector<std::string>{"id2", "id3", "id1"});
    CHECK_THAT(list.messages[0], Contains(unknown_field));
    CHECK(ask(stage, info_path).messages == std::vector<std::string>{info("v0.13.0")});

    // A worker that is down does not speak for the pool.
    stage.lb->pool().set_health(*stage.lb->worker(1), balancer::worker_health::down, "gone");
    CHECK(ids(ask(stage, list_path).messages.at(0)) == std::vector<std::string>{"id1", "id3"});
    CHECK(ask(stage, info_path).messages == std::vector<std::string>{info("v0.34.2")});
    CHECK(nobody_was_asked(stage));
}

TEST_CASE("a pool that does not know Info says so, as its workers would")
{
    buildkit_stage stage{2};
    set_facts(stage, 0, "id1", "");
    set_facts(stage, 1, "id2", "");
    CHECK(ask(stage, info_path).status() == grpc_code::unimplemented);

    // One that knows it is enough.
    set_facts(stage, 1, "id2", "v0.34.2");
    CHECK(ask(stage, info_path).messages == std::vector<std::string>{info("v0.34.2")});
}

TEST_CASE("while a worker has not said anything of itself, all are asked and the answers are put together")
{
    buildkit_stage stage{3};
    set_facts(stage, 0, "id1", "v0.34.2");
    for (std::size_t i = 0; i < 3; ++i) {
        stage.workers[i].on_call = [i](grpc_stream& call) {
            call.answer(call.path() == list_path ? list_of(record("id" + std::to_string(i + 1)))
                                                 : info(i == 2 ? "v0.13.0" : "v0.34.2"));
        };
    }
    CHECK(ids(ask(stage, list_path).messages.at(0)) == std::vector<std::string>{"id1", "id2", "id3"});
    CHECK(ask(stage, info_path).messages == std::vector<std::string>{info("v0.13.0")});
}

TEST_CASE("a filter of ListWorkers is the workers' to apply, and may leave nothing")
{
    buildkit_stage stage{2};
    set_facts(stage, 0, "id1", "v0.34.2");
    set_facts(stage, 1, "id2", "v0.34.2");
    wire::control::ListWorkersRequest request;
    request.add_filter("id==id2");
    const bool matches = GENERATE(true, false);
    for (std::size_t i = 0; i < 2; ++i) {
        stage.workers[i].on_call = [i, matches](grpc_stream& call) {
            call.answer(i == 1 && matches ? list_of(record("id2")) : std::string{});
        };
    }
    const auto& list = ask(stage, list_path, request.SerializeAsString());
    CHECK(list.status() == grpc_code::ok);
    CHECK(ids(list.messages.at(0)) == (matches ? std::vector<std::string>{"id2"} : std::vector<std::string>{}));
    REQUIRE(stage.workers[0].call(list_path) != nullptr);
    CHECK(stage.workers[0].call(list_path)->messages == std::vector<std::string>{request.SerializeAsString()});
}

TEST_CASE("the list of workers is never empty")
{
    buildkit_stage stage{2};
    for (auto& w : stage.workers) {
        w.on_call = [](grpc_stream& call) { call.answer({}); };
    }
    CHECK(ask(stage, list_path).status() == grpc_code::unavailable);

    stage.lb->pool().set_health(*stage.lb->worker(0), balancer::worker_health::down, "refused");
    stage.lb->pool().set_health(*stage.lb->worker(1), balancer::worker_health::down, "too slow");
    for (const auto path : {list_path, info_path, usage_path, prune_path}) {
        const auto& call = ask(stage, path);
        CHECK(call.status() == grpc_code::unavailable);
        CHECK_THAT(call.status_message(), Contains("w1 down: refused") && Contains("w2 down: too slow"));
    }
}

TEST_CASE("disk usage is that of all workers, with the fields that this program does not know")
{
    buildkit_stage stage{3};
    for (std::size_t i = 0; i < 3; ++i) {
        stage.workers[i].on_call = [i](grpc_stream& call) {
            call.answer(usage("r" + std::to_string(i), 100) + unknown_field);
        };
    }
    const auto& call = ask(stage, usage_path, "\x0a\x06mutable", {{"grpc-timeout", "20S"}});
    const auto u = [](int i) { return usage("r" + std::to_string(i), 100) + unknown_field; };
    CHECK(call.messages == std::vector<std::string>{u(0) + u(1) + u(2)});
    CHECK(call.status() == grpc_code::ok);
    for (const auto& w : stage.workers) {
        REQUIRE(w.call(usage_path) != nullptr);
        CHECK(w.call(usage_path)->messages == std::vector<std::string>{"\x0a\x06mutable"});
        CHECK(w.call(usage_path)->request.get("content-type") == "application/grpc");
    }
}

TEST_CASE("a worker that is dead, hangs, refuses or answers too much is left out, named and counted")
{
    balancer_settings settings;
    settings.pool_call_timeout = 300ms;
    buildkit_stage stage{5, settings};
    stage.workers[0].on_call = [](grpc_stream& call) { call.answer(usage("r0", 1)); };
    // w2 never answers.
    stage.workers[2].refuse();
    stage.workers[3].on_call = [](grpc_stream& call) { call.finish(grpc_code::internal, "disk full"); };
    stage.workers[4].on_call = [&](grpc_stream&) { stage.workers[4].cut(); };

    const auto& call = ask(stage, usage_path);
    CHECK(call.status() == grpc_code::ok);
    CHECK(call.messages == std::vector<std::string>{usage("r0", 1)});
    const auto metrics = stage.lb->metrics().expose();
    for (const char* w : {"w2", "w3", "w5"}) {
        CHECK_THAT(metrics, Contains("buildkit_lb_pool_call_failures_total{method=\"moby.buildkit.v1.Control/"
                                     "DiskUsage\",pool=\"default\",worker=\"" +
                                     std::string{w} + "\"} 1"));
    }
    CHECK_THAT(metrics, !Contains("worker=\"w4\"} 1"));
    // What was given up is cancelled there.
    auto& hung = *stage.workers[1].call(usage_path);
    CHECK(stage.until([&] { return hung.closed; }));
    CHECK(hung.reset_by_peer == http2::error_code::cancel);
}

TEST_CASE("when no worker can answer, the client is told what each of them said")
{
    balancer_settings settings;
    settings.pool_call_timeout = 200ms;
    buildkit_stage stage{2, settings};
    stage.workers[0].refuse();
    const auto& silent = ask(stage, usage_path);
    CHECK(silent.status() == grpc_code::unavailable);
    CHECK_THAT(silent.status_message(), Contains("w1: ") && Contains("w2: no answer within 200 ms"));

    // A worker's own words are passed on with their details.
    stage.workers[1].on_call = [](grpc_stream& call) {
        call.finish(grpc_code::invalid_argument, "bad filter", {{"grpc-status-details-bin", "CAMSA2Fn"}});
    };
    const auto& refused = ask(stage, usage_path);
    CHECK(refused.status() == grpc_code::invalid_argument);
    CHECK(refused.status_message() == "bad filter");
    CHECK(refused.response.get("grpc-status-details-bin") == "CAMSA2Fn");
}

TEST_CASE("a worker that goes down in the pool is not waited for")
{
    buildkit_stage stage{2};
    stage.workers[0].on_call = [](grpc_stream& call) { call.answer(usage("r0", 1)); };
    auto& call = stage.client().connection().call(usage_path, {});
    REQUIRE(stage.until([&] { return stage.workers[1].call(usage_path) != nullptr; }));
    CHECK_FALSE(call.closed);
    stage.lb->pool().set_health(*stage.lb->worker(1), balancer::worker_health::down, "probe");
    REQUIRE(stage.until([&] { return call.closed; }));
    CHECK(call.messages == std::vector<std::string>{usage("r0", 1)});
}

TEST_CASE("a disk usage that no client could take is an error with each worker's totals")
{
    buildkit_stage stage{2};
    for (std::size_t i = 0; i < 2; ++i) {
        stage.workers[i].on_call = [i](grpc_stream& call) {
            call.answer(usage("r", i == 0 ? 100 : 23, std::size_t{8} << 20));
        };
    }
    const auto& call = ask(stage, usage_path);
    CHECK(call.status() == grpc_code::resource_exhausted);
    CHECK_THAT(call.status_message(), Contains("w1: 1 records, 100 bytes") && Contains("w2: 1 records, 23 bytes"));
}

TEST_CASE("a client that goes away cancels a call to the whole pool on every worker")
{
    buildkit_stage stage{3};
    auto& client = stage.client();
    auto& call = client.connection().call(prune_path, {});
    const auto all = [&](auto what) {
        return stage.until([&] {
            return std::all_of(stage.workers.begin(), stage.workers.end(), [&](auto& w) {
                auto* c = w.call(prune_path);
                return c != nullptr && what(*c);
            });
        });
    };
    REQUIRE(all([](grpc_stream& c) { return c.ended; }));
    stage.workers[0].call(prune_path)->send("removed");
    REQUIRE(stage.until([&] { return call.messages.size() == 1; }));

    const bool connection_too = GENERATE(true, false);
    if (connection_too) {
        client.connection().cut();
    } else {
        call.reset(http2::error_code::cancel);
    }
    CHECK(all([](grpc_stream& c) { return c.closed; }));
    if (!connection_too) {
        CHECK(stage.workers[1].call(prune_path)->reset_by_peer == http2::error_code::cancel);
    }
    CHECK(stage.until([&] { return stage.lb->buildkit().calls == 0; }));
}

TEST_CASE("what workers prune is told as it comes, and the trouble of one after the others have finished")
{
    balancer_settings settings;
    settings.pool_call_timeout = 100ms;  // does not bound it
    buildkit_stage stage{3, settings};
    auto& call = stage.client().connection().call(prune_path, "what");
    for (auto& w : stage.workers) {
        REQUIRE(stage.until([&] { return w.call(prune_path) != nullptr && w.call(prune_path)->ended; }));
        CHECK(w.call(prune_path)->messages == std::vector<std::string>{"what"});
    }
    stage.workers[0].call(prune_path)->send("a");
    stage.workers[0]
        .call(prune_path)
        ->finish(grpc_code::internal, "disk on fire", {{"grpc-status-details-bin", "CAMSA2Fn"}});
    stage.workers[1].call(prune_path)->send("b");
    stage.workers[1].call(prune_path)->finish();
    REQUIRE(stage.until([&] { return call.messages.size() == 2; }));
    CHECK(stage.peers.never([&] { return call.ended; }, 300ms));
    stage.workers[2].call(prune_path)->send("c");
    stage.workers[2].call(prune_path)->finish();
    REQUIRE(stage.until([&] { return call.closed; }));
    CHECK(call.messages.size() == 3);
    CHECK(call.messages.back() == "c");
    CHECK(call.status() == grpc_code::internal);
    CHECK(call.status_message() == "buildkit-lb: w1: disk on fire");
    CHECK(call.trailers.get("grpc-status-details-bin").empty());
}

TEST_CASE("a client that reads slowly holds the workers back, and loses nothing")
{
    buildkit_stage stage{2};
    auto& client = stage.client();
    auto& call = client.connection().call(prune_path, {});
    call.holds_credit = true;
    const std::string large(std::size_t{1} << 20, 'x');
    for (auto& w : stage.workers) {
        REQUIRE(stage.until([&] { return w.call(prune_path) != nullptr && w.call(prune_path)->ended; }));
        for (int i = 0; i < 20; ++i) {
            w.call(prune_path)->send(large);
        }
        w.call(prune_path)->finish();
    }
    // Much of it stays with the workers, while other calls of the client go on.
    CHECK(stage.peers.never([&] { return stage.workers[0].call(prune_path)->closed; }, 300ms));
    set_facts(stage, 0, "id1", "v0.34.2");
    set_facts(stage, 1, "id2", "v0.34.2");
    auto& list = client.connection().call(list_path, {});
    REQUIRE(stage.until([&] { return list.closed; }));
    call.take_all();
    REQUIRE(stage.until([&] { return call.closed; }));
    CHECK(call.messages.size() == 40);
    CHECK(call.status() == grpc_code::ok);
}

TEST_CASE("names that are one daemon are asked once")
{
    buildkit_stage stage{2};
    set_facts(stage, 0, "same", "v0.34.2");
    set_facts(stage, 1, "same", "v0.34.2");
    for (auto& w : stage.workers) {
        w.on_call = [](grpc_stream& call) { call.answer(usage("r", 1)); };
    }
    CHECK(ask(stage, usage_path).messages == std::vector<std::string>{usage("r", 1)});
    CHECK(stage.workers[1].calls().empty());
}

TEST_CASE("health is the pool's: serving while it can take builds")
{
    buildkit_stage stage{2};
    const std::string serving{"\x08\x01", 2};
    const std::string not_serving{"\x08\x02", 2};
    const std::string unknown{"\x08\x03", 2};
    auto& pool = stage.lb->pool();
    pool.set_health(*stage.lb->worker(0), balancer::worker_health::down, "down");
    pool.set_health(*stage.lb->worker(1), balancer::worker_health::up, {});
    CHECK(ask(stage, health_path).messages == std::vector<std::string>{serving});

    auto& client = stage.client();
    auto& watch = client.connection().call(watch_path, {});
    auto& other = client.connection().call(watch_path, "\x0a\x01x");
    REQUIRE(stage.until([&] { return watch.messages.size() == 1 && other.messages.size() == 1; }));
    CHECK(other.messages[0] == unknown);
    pool.set_health(*stage.lb->worker(1), balancer::worker_health::down, "down");
    REQUIRE(stage.until([&] { return watch.messages.size() == 2; }));
    CHECK(watch.messages == std::vector<std::string>{serving, not_serving});
    CHECK_FALSE(watch.ended);
    CHECK(ask(stage, health_path).messages == std::vector<std::string>{not_serving});

    const auto& service = ask(stage, health_path, "\x0a\x01x");
    CHECK(service.status() == grpc_code::not_found);
    CHECK(nobody_was_asked(stage));
    watch.reset(http2::error_code::cancel);
    other.reset(http2::error_code::cancel);
    CHECK(stage.until([&] { return stage.lb->buildkit().calls == 0; }));
}

TEST_CASE("spans go to the workers on which the builds of their trace run")
{
    buildkit_stage stage{3};
    auto& client = stage.client();
    const std::string parent = "00-" + std::string(32, 'a') + "-b7ad6b7169203331-01";
    for (int i = 0; i < 2; ++i) {  // round-robin: w1 and w2
        client.connection().call(solve_path, solve_message("build-" + std::to_string(i)), {{"traceparent", parent}});
        auto& w = stage.workers[static_cast<std::size_t>(i)];
        REQUIRE(stage.until([&] { return w.call(solve_path) != nullptr; }));
    }
    const std::string span = "\x0a\x10" + std::string(16, '\xaa');
    const std::string scope = std::string{"\x12"} + static_cast<char>(span.size()) + span;
    const std::string resource = std::string{"\x12"} + static_cast<char>(scope.size()) + scope;
    const std::string spans = std::string{"\x0a"} + static_cast<char>(resource.size()) + resource;
    for (std::size_t i = 0; i < 2; ++i) {
        stage.workers[i].on_call = [](grpc_stream& call) { call.answer("stored"); };
    }
    auto& call = client.connection().call(export_path, spans);
    REQUIRE(stage.until([&] { return call.closed; }));
    CHECK(call.messages == std::vector<std::string>{"stored"});
    for (std::size_t i = 0; i < 2; ++i) {
        REQUIRE(stage.until([&] { return stage.workers[i].call(export_path) != nullptr; }));
        CHECK(stage.workers[i].call(export_path)->messages == std::vector<std::string>{spans});
    }
    CHECK(stage.workers[2].call(export_path) == nullptr);
}

TEST_CASE("reflection and what nobody knows go to one worker")
{
    buildkit_stage stage{3};
    auto& client = stage.client();
    for (auto& w : stage.workers) {
        w.on_call = [](grpc_stream& call) { call.answer("yes"); };
    }
    for (const auto path : {reflection_path, std::string_view{"/some.new.Service/Method"}, export_path}) {
        auto& call = client.connection().call(path, {});
        REQUIRE(stage.until([&] { return call.closed; }));
        CHECK(call.messages == std::vector<std::string>{"yes"});
    }
    std::vector<std::size_t> counts;
    for (const auto& w : stage.workers) {
        counts.push_back(w.calls().size());
    }
    std::sort(counts.begin(), counts.end());
    CHECK(counts == std::vector<std::size_t>{0, 0, 3});
}
