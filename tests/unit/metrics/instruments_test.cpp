#include "metrics/instruments.hpp"

#include <catch2/catch.hpp>
#include <chrono>
#include <thread>
#include <vector>

#include "balancer/policies/registry.hpp"
#include "metrics/collectors.hpp"

using namespace buildkit_lb;
using namespace buildkit_lb::metrics;
using namespace std::chrono_literals;

namespace {

/// The value of the series that is written exactly like `series`, or -1 when there is none.
double value_of(const std::string& page, const std::string& series)
{
    const auto at = ("\n" + page).find("\n" + series + " ");
    return at == std::string::npos ? -1 : std::stod(page.substr(at + series.size() + 1));
}

}  // namespace

TEST_CASE("connections and bytes of a listener are counted")
{
    instruments all;
    auto& builds = all.for_listener("builds");
    builds.connection_opened();
    builds.connection_opened();
    builds.connection_closed();
    builds.received(1000);
    builds.received(24);
    builds.sent(7);

    const auto page = all.expose();
    CHECK(value_of(page, R"(buildkit_lb_connections{listener="builds"})") == 1);
    CHECK(value_of(page, R"(buildkit_lb_connections_total{listener="builds"})") == 2);
    CHECK(value_of(page, R"(buildkit_lb_bytes_total{direction="received",listener="builds"})") == 1024);
    CHECK(value_of(page, R"(buildkit_lb_bytes_total{direction="sent",listener="builds"})") == 7);
}

TEST_CASE("asking for a listener again gives the same instruments")
{
    instruments all;
    auto& first = all.for_listener("builds");
    for (int i = 0; i < 100; ++i) {
        all.for_listener("other-" + std::to_string(i));
    }
    CHECK(&all.for_listener("builds") == &first);
    CHECK(&all.for_listener("other-7") != &first);
}

TEST_CASE("pauses exist at zero from the start, protocol errors appear with their kind")
{
    instruments all;
    auto& builds = all.for_listener("builds");
    const std::string at_limit = R"(buildkit_lb_accept_pauses_total{listener="builds",reason="max_connections"})";
    CHECK(value_of(all.expose(), at_limit) == 0);
    builds.accepting_paused("max_connections");
    builds.protocol_error("bad_preface");

    const auto page = all.expose();
    CHECK(value_of(page, at_limit) == 1);
    CHECK(value_of(page, R"(buildkit_lb_accept_pauses_total{listener="builds",reason="out_of_descriptors"})") == 0);
    CHECK(value_of(page, R"(buildkit_lb_protocol_errors_total{kind="bad_preface",listener="builds"})") == 1);
}

TEST_CASE("the series of an added worker exist at zero")
{
    instruments all;
    all.add_worker("default", "w1");
    const auto page = all.expose();
    for (const char* series : {
             R"(buildkit_lb_builds_total{pool="default",result="ok",worker="w1"})",
             R"(buildkit_lb_builds_total{pool="default",result="error",worker="w1"})",
             R"(buildkit_lb_builds_total{pool="default",result="canceled",worker="w1"})",
             R"(buildkit_lb_build_steps_total{cache="hit",pool="default",worker="w1"})",
             R"(buildkit_lb_build_steps_total{cache="miss",pool="default",worker="w1"})",
             R"(buildkit_lb_upstream_connect_failures_total{pool="default",reason="refused",worker="w1"})",
             R"(buildkit_lb_health_check_failures_total{pool="default",reason="timed_out",worker="w1"})",
             R"(buildkit_lb_build_duration_seconds_count{pool="default",worker="w1"})",
         }) {
        INFO(series);
        CHECK(value_of(page, series) == 0);
    }
}

TEST_CASE("picks, failures, builds, steps and calls are counted under their labels")
{
    instruments all;
    all.picked("default", "round-robin", "next");
    all.picked("default", "round-robin", "next");
    all.upstream_connect_failed("default", "w1", "refused");
    all.health_check_failed("default", "w2", "timed_out");
    all.build_ended("default", "w1", build_result::ok, 90s);
    all.build_ended("default", "w1", build_result::canceled, 700ms);
    all.steps_completed("default", "w1", 12, 3);
    all.rpc_ended("moby.buildkit.v1.Control/Solve", "OK");
    all.rpc_ended("moby.buildkit.v1.Control/Solve", "OK");
    all.rpc_ended("moby.buildkit.v1.Control/Solve", "UNAVAILABLE");
    all.rpc_ended("other", "UNIMPLEMENTED");

    const auto page = all.expose();
    const auto is = [&](double expected, const char* series) {
        INFO(series);
        CHECK(value_of(page, series) == Approx(expected));
    };
    is(2, R"(buildkit_lb_picks_total{policy="round-robin",pool="default",reason="next"})");
    is(1, R"(buildkit_lb_upstream_connect_failures_total{pool="default",reason="refused",worker="w1"})");
    is(1, R"(buildkit_lb_health_check_failures_total{pool="default",reason="timed_out",worker="w2"})");
    is(1, R"(buildkit_lb_builds_total{pool="default",result="ok",worker="w1"})");
    is(1, R"(buildkit_lb_builds_total{pool="default",result="canceled",worker="w1"})");
    is(12, R"(buildkit_lb_build_steps_total{cache="hit",pool="default",worker="w1"})");
    is(3, R"(buildkit_lb_build_steps_total{cache="miss",pool="default",worker="w1"})");
    is(2, R"(buildkit_lb_rpcs_total{code="OK",method="moby.buildkit.v1.Control/Solve"})");
    is(1, R"(buildkit_lb_rpcs_total{code="UNAVAILABLE",method="moby.buildkit.v1.Control/Solve"})");
    is(1, R"(buildkit_lb_rpcs_total{code="UNIMPLEMENTED",method="other"})");
    is(90.7, R"(buildkit_lb_build_duration_seconds_sum{pool="default",worker="w1"})");
    is(0, R"(buildkit_lb_build_duration_seconds_bucket{pool="default",worker="w1",le="0.5"})");
    is(1, R"(buildkit_lb_build_duration_seconds_bucket{pool="default",worker="w1",le="1"})");
    is(2, R"(buildkit_lb_build_duration_seconds_bucket{pool="default",worker="w1",le="120"})");
}

TEST_CASE("calls counted by many threads at once are all counted, while scrapes go on")
{
    instruments all;
    constexpr int threads = 4;
    constexpr int calls = 2000;
    std::vector<std::thread> running;
    for (int t = 0; t < threads; ++t) {
        running.emplace_back([&all] {
            for (int i = 0; i < calls; ++i) {
                all.rpc_ended(i % 2 == 0 ? "a" : "b", i % 3 == 0 ? "OK" : "INTERNAL");
                all.for_listener("builds").received(1);
            }
        });
    }
    for (int i = 0; i < 20; ++i) {
        all.expose();
    }
    for (auto& thread : running) {
        thread.join();
    }
    const auto page = all.expose();
    double sum = 0;
    for (const std::string method : {"a", "b"}) {
        for (const std::string code : {"OK", "INTERNAL"}) {
            sum += value_of(page, "buildkit_lb_rpcs_total{code=\"" + code + "\",method=\"" + method + "\"}");
        }
    }
    CHECK(sum == threads * calls);
    CHECK(value_of(page, R"(buildkit_lb_bytes_total{direction="received",listener="builds"})") == threads * calls);
}

TEST_CASE("the version is a label of the build info")
{
    const instruments all{"1.2.3"};
    CHECK(value_of(all.expose(), R"(buildkit_lb_build_info{version="1.2.3"})") == 1);
}

TEST_CASE("the state of workers is read when it is asked for")
{
    std::vector<balancer::worker_settings> workers(3);
    workers[0].name = "w1";
    workers[1].name = "w2";
    workers[2].name = "w3";
    const auto pool =
        std::make_shared<balancer::pool>("default", std::move(workers), balancer::make_policy("round-robin"));
    instruments all;
    all.add_collector(make_pool_collector([&] { return std::vector{pool}; }));

    const auto before = all.expose();
    CHECK(value_of(before, R"(buildkit_lb_worker_up{pool="default",worker="w1"})") == 1);  // not probed yet
    CHECK(value_of(before, R"(buildkit_lb_worker_active_builds{pool="default",worker="w1"})") == 0);

    const auto snapshot = pool->snapshot();
    pool->set_health(*snapshot->workers[0].worker, balancer::worker_health::up, "");
    pool->set_health(*snapshot->workers[1].worker, balancer::worker_health::down, "refused");
    const balancer::lease build{snapshot->workers[0].worker};

    const auto after = all.expose();
    CHECK(value_of(after, R"(buildkit_lb_worker_up{pool="default",worker="w1"})") == 1);
    CHECK(value_of(after, R"(buildkit_lb_worker_up{pool="default",worker="w2"})") == 0);
    CHECK(value_of(after, R"(buildkit_lb_worker_active_builds{pool="default",worker="w1"})") == 1);
    CHECK(value_of(after, R"(buildkit_lb_worker_draining{pool="default",worker="w3"})") == 0);
    CHECK(value_of(after, R"(buildkit_lb_worker_ejected{pool="default",worker="w3"})") == 0);

    pool->set_outliers({.consecutive_failures = 1}, {});
    pool->report_fault(*snapshot->workers[2].worker, balancer::traffic_fault::reset, "reset", {});
    CHECK(value_of(all.expose(), R"(buildkit_lb_worker_ejected{pool="default",worker="w3"})") == 1);
}

TEST_CASE("the process tells its memory, descriptors, CPU time and start")
{
    instruments all;
    all.add_collector(make_process_collector());
    const auto page = all.expose();
    CHECK(value_of(page, "process_resident_memory_bytes") > 100'000);
    CHECK(value_of(page, "process_virtual_memory_bytes") > value_of(page, "process_resident_memory_bytes"));
    CHECK(value_of(page, "process_open_fds") >= 3);
    CHECK(value_of(page, "process_open_fds") <= value_of(page, "process_max_fds"));
    CHECK(value_of(page, "process_cpu_seconds_total") >= 0);
    const double started = value_of(page, "process_start_time_seconds");
    const auto now = std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
    CHECK(started > now - 3600 * 24);
    CHECK(started < now + 5);
}

TEST_CASE("the page is sorted by name and says what each metric is")
{
    instruments all;
    all.for_listener("builds");
    all.add_collector(make_process_collector());
    const auto page = all.expose();
    CHECK_THAT(page, Catch::Contains("# TYPE buildkit_lb_connections gauge\n"));
    CHECK_THAT(page, Catch::Contains("# TYPE buildkit_lb_bytes_total counter\n"));
    CHECK_THAT(page, Catch::Contains("# TYPE process_cpu_seconds_total counter\n"));
    CHECK(page.find("buildkit_lb_bytes_total") < page.find("buildkit_lb_connections"));
    CHECK(page.find("buildkit_lb_connections") < page.find("process_open_fds"));
}
