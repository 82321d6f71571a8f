#include <algorithm>
#include <catch2/catch.hpp>
#include <optional>

#include "health/prober.hpp"
#include "support/fake_buildkit.hpp"
#include "support/pools.hpp"
#include "support/ports.hpp"

using namespace buildkit_lb;
using namespace buildkit_lb::health;
using namespace buildkit_lb::test;
using namespace std::chrono_literals;
using balancer::worker_health;
using buildkit::grpc_code;

namespace {

constexpr std::string_view check_path = "/grpc.health.v1.Health/Check";
const std::string serving{"\x08\x01"};
const std::string not_serving{"\x08\x02"};

/// A scripted worker that answers health checks as the test says, and the prober of a pool with it, all on this thread.
class checked_worker {
public:
    checked_worker()
    {
        settings.type = config::probe_type::grpc;
        settings.interval = 20ms;
        settings.timeout = 5s;
        settings.unhealthy_after = 2;
        settings.healthy_after = 1;
        answer_with([](grpc_stream& call) { call.answer(serving); });
    }
    ~checked_worker()
    {
        stop();
        worker.close();
        if (!peers.run_until([this] { return peers.tasks().size() == 0; })) {
            std::abort();
        }
    }

    void answer_with(const std::function<void(grpc_stream&)>& how)
    {
        worker.on_call = [how](grpc_stream& call) {
            if (call.path() == check_path) {
                how(call);
            } else {
                call.finish(grpc_code::unimplemented);
            }
        };
    }
    void start(std::optional<std::uint16_t> port = std::nullopt)
    {
        pool = pool_at({port.value_or(worker.address().port)});
        probing.emplace(peers.context().get_executor(), pool, settings, instruments);
        probing->start();
    }
    void stop()
    {
        if (probing) {
            task_group stopping{peers.context().get_executor()};
            stopping.spawn("stop", probing->stop());
            REQUIRE(peers.run_until([&] { return stopping.size() == 0; }));
            probing.reset();
        }
    }
    balancer::worker_view view() const { return pool->snapshot()->workers.at(0); }
    bool until(worker_health health)
    {
        return peers.run_until([&] { return view().health == health; });
    }

    peers_thread peers;
    fake_worker worker{peers};
    config::health_check settings;
    metrics::instruments instruments;
    std::shared_ptr<balancer::pool> pool;
    std::optional<prober> probing;
};

}  // namespace

TEST_CASE("a worker that says SERVING is up; it is asked on one connection, for the whole server", "[no-tsan]")
{
    checked_worker w;
    w.start();
    REQUIRE(w.until(worker_health::up));
    REQUIRE(w.peers.run_until([&] { return w.worker.call(check_path, 4) != nullptr; }));
    CHECK(w.worker.connections() == 1);
    CHECK(w.worker.calls().front()->messages.at(0).empty());
    const auto& asked = w.worker.calls();
    CHECK(std::all_of(asked.begin(), asked.end(), [](const auto* call) { return call->path() == check_path; }));
    CHECK(w.view().facts == nullptr);
}

TEST_CASE("a worker that says anything else is down, with what it says", "[no-tsan]")
{
    checked_worker w;
    std::string why;
    std::string reason = "unreachable";
    SECTION("NOT_SERVING")
    {
        w.answer_with([](grpc_stream& call) { call.answer(not_serving); });
        why = "NOT_SERVING";
    }
    SECTION("an answer that is none")
    {
        w.answer_with([](grpc_stream& call) { call.answer("\xff"); });
        why = "an answer that can't be read";
        reason = "protocol";
    }
    SECTION("it has no health service")
    {
        w.answer_with([](grpc_stream& call) { call.finish(grpc_code::unimplemented, "unknown service"); });
        why = "UNIMPLEMENTED: unknown service";
        reason = "protocol";
    }
    w.start();
    REQUIRE(w.until(worker_health::down));
    CHECK(w.view().last_error == w.worker.address().to_string() + ": Health/Check: " + why);
    CHECK_THAT(w.instruments.expose(),
               Catch::Contains("buildkit_lb_health_check_failures_total{pool=\"default\",reason=\"" + reason + "\""));
}

TEST_CASE("a worker that stops serving goes down after so many checks, and comes back when it serves", "[no-tsan]")
{
    checked_worker w;
    w.start();
    REQUIRE(w.until(worker_health::up));
    w.answer_with([](grpc_stream& call) { call.answer(not_serving); });
    REQUIRE(w.until(worker_health::down));
    w.answer_with([](grpc_stream& call) { call.answer(serving); });
    REQUIRE(w.until(worker_health::up));
    CHECK(w.view().last_error.empty());
}

TEST_CASE("a worker that does not answer its health check is down at the deadline", "[no-tsan]")
{
    checked_worker w;
    w.settings.timeout = 100ms;
    w.answer_with([](grpc_stream&) {});
    w.start();
    REQUIRE(w.until(worker_health::down));
    CHECK_THAT(w.view().last_error,
               Catch::EndsWith("Health/Check: DEADLINE_EXCEEDED: no answer within health_check.timeout"));
}

TEST_CASE("a worker that refuses the connection of its health check is down in the words of a TCP probe", "[no-tsan]")
{
    checked_worker w;
    const closed_port closed{w.peers.context()};
    w.start(closed.number());
    REQUIRE(w.until(worker_health::down));
    CHECK(w.view().last_error == "tcp://127.0.0.1:" + std::to_string(closed.number()) + ": Connection refused");
}

TEST_CASE("stopping ends a health check that waits", "[no-tsan]")
{
    checked_worker w;
    w.settings.timeout = 60s;
    bool reached = false;
    w.answer_with([&](grpc_stream&) { reached = true; });
    w.start();
    REQUIRE(w.peers.run_until([&] { return reached; }));
    const auto began = clock::now();
    w.stop();
    CHECK(clock::now() - began < 5s);
    CHECK(w.view().health == worker_health::unknown);
}
