#include "health/prober.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <catch2/catch.hpp>
#include <map>
#include <optional>
#include <thread>

#include "support/pools.hpp"
#include "support/ports.hpp"

using namespace buildkit_lb;
using namespace buildkit_lb::health;
using namespace std::chrono_literals;
using balancer::worker_health;
namespace asio = boost::asio;

namespace {

config::health_check quick()
{
    config::health_check settings;
    settings.type = config::probe_type::tcp;
    settings.interval = 5ms;
    settings.timeout = 2s;
    settings.unhealthy_after = 2;
    settings.healthy_after = 2;
    return settings;
}

balancer::worker_view view(const balancer::pool& pool, std::size_t index = 0)
{
    return pool.snapshot()->workers.at(index);
}

failure reset_by_test()
{
    return {errc::reset, failure_source::upstream, true, "reset by the test"};
}

/// All workers are probed by `how`, which keeps nothing.
probe_maker all_by(const probe& how)
{
    return [how] { return how; };
}

/// The control thread, which is the test's own.
struct control {
    /// Runs until `condition` holds; the test fails after ten seconds.
    template <class Condition>
    void run_until(Condition condition)
    {
        const auto deadline = clock::now() + 10s;
        while (!condition()) {
            REQUIRE(clock::now() < deadline);
            context.restart();
            context.run_one_for(10ms);
        }
    }

    void stop(prober& probing)
    {
        task_group stopping{context.get_executor()};
        stopping.spawn("stop", probing.stop());
        run_until([&] { return stopping.size() == 0; });
    }

    prober watch(const std::shared_ptr<balancer::pool>& pool, const config::health_check& settings)
    {
        return prober{context.get_executor(), pool, settings, instruments};
    }

    asio::io_context context;
    metrics::instruments instruments;
};

}  // namespace

TEST_CASE("workers that listen are found up, those that don't are found down with the reason")
{
    control c;
    const test::open_port open{c.context};
    const test::closed_port closed{c.context};
    const auto pool = test::pool_at({open.number(), closed.number()});
    prober probing = c.watch(pool, quick());

    probing.start();
    c.run_until([&] {
        return view(*pool, 0).health != worker_health::unknown && view(*pool, 1).health != worker_health::unknown;
    });

    CHECK(view(*pool, 0).health == worker_health::up);
    CHECK(view(*pool, 0).last_error.empty());
    CHECK(view(*pool, 1).health == worker_health::down);
    CHECK(view(*pool, 1).last_error == view(*pool, 1).worker->address().to_string() + ": Connection refused");
    const auto page = c.instruments.expose();
    const std::string failures = "buildkit_lb_health_check_failures_total{pool=\"default\",reason=\"refused\",worker=";
    CHECK_THAT(page, Catch::Contains(failures + "\"w2\"}"));
    CHECK_THAT(page, !Catch::Contains(failures + "\"w1\"}"));
    c.stop(probing);
}

TEST_CASE("a worker that stops listening goes down and comes back when it listens again")
{
    control c;
    std::optional<test::open_port> worker{c.context};
    const auto port = worker->number();
    const auto pool = test::pool_at({port});
    prober probing = c.watch(pool, quick());
    probing.start();

    c.run_until([&] { return view(*pool).health == worker_health::up; });
    worker.reset();
    c.run_until([&] { return view(*pool).health == worker_health::down; });
    worker.emplace(c.context, port);
    c.run_until([&] { return view(*pool).health == worker_health::up; });
    CHECK(view(*pool).last_error.empty());
    c.stop(probing);
}

TEST_CASE("a worker that does not answer is down when the probe's time is over")
{
    control c;
    const test::hanging_port hanging{c.context};
    const auto pool = test::pool_at({hanging.number()});
    auto settings = quick();
    settings.timeout = 30ms;
    prober probing = c.watch(pool, settings);

    probing.start();
    c.run_until([&] { return view(*pool).health == worker_health::down; });

    CHECK_THAT(view(*pool).last_error, Catch::Contains("timed out"));
    c.stop(probing);
}

TEST_CASE("traffic that can't connect takes a worker down at once, from any thread, and probes bring it back")
{
    control c;
    const test::open_port open{c.context};
    const auto pool = test::pool_at({open.number()});
    prober probing = c.watch(pool, quick());
    probing.start();
    c.run_until([&] { return view(*pool).health == worker_health::up; });

    const auto worker = view(*pool).worker;
    std::thread data_thread{[&] { pool->report_connect_failure(*worker, reset_by_test(), clock::now()); }};
    data_thread.join();
    CHECK(view(*pool).health == worker_health::down);  // before the control thread has had a turn
    CHECK(view(*pool).last_error == "reset by the test");

    c.run_until([&] { return view(*pool).health == worker_health::up; });
    c.stop(probing);
}

TEST_CASE("a failure reported after the prober is gone is dropped")
{
    control c;
    const auto pool = test::pool_at({1});
    const auto worker = view(*pool).worker;
    {
        prober probing = c.watch(pool, quick());
        pool->report_connect_failure(*worker, reset_by_test(), clock::now());
    }
    pool->report_connect_failure(*worker, reset_by_test(), clock::now());
    CHECK(c.context.poll() == 2);  // both arrive, and find nobody
}

TEST_CASE("with health checks off health stays unknown, whatever traffic sees")
{
    control c;
    const auto pool = test::pool_at({1});
    auto settings = quick();
    settings.type = config::probe_type::off;
    prober probing = c.watch(pool, settings);
    probing.start();
    pool->report_connect_failure(*view(*pool).worker, reset_by_test(), clock::now());
    c.context.poll();
    CHECK(view(*pool).health == worker_health::unknown);
    c.stop(probing);
}

TEST_CASE("a worker is never probed twice at the same time, even when a probe outlasts the interval")
{
    control c;
    const auto pool = test::pool_at({1, 1});
    std::map<const balancer::worker*, int> running;
    int most = 0;
    int done = 0;
    const probe slow = [&](const balancer::worker& w, duration) -> asio::awaitable<probe_result> {
        most = std::max(most, ++running[&w]);
        asio::steady_timer timer{c.context, 15ms};
        co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
        --running[&w];
        ++done;
        co_return probe_result{};
    };
    prober probing{c.context.get_executor(), pool, quick(), c.instruments, all_by(slow)};
    probing.start();
    c.run_until([&] { return done >= 8; });
    CHECK(most == 1);
    CHECK(running.size() == 2);
    c.stop(probing);
}

TEST_CASE("probes start at the interval, less a fifth at most")
{
    control c;
    const auto pool = test::pool_at({1});
    auto settings = quick();
    settings.interval = 100ms;
    std::vector<time_point> starts;
    const probe instant = [&](const balancer::worker&, duration) -> asio::awaitable<probe_result> {
        starts.push_back(clock::now());
        co_return probe_result{};
    };
    // The extremes in turn.
    const random_source scripted = [&] { return starts.size() % 2 == 1 ? 0.0 : 0.999999; };
    prober probing{c.context.get_executor(), pool, settings, c.instruments, all_by(instant), scripted};
    probing.start();
    c.run_until([&] { return starts.size() >= 3; });
    // Timers are never early; that they are not late is not for a loaded machine to prove. (See pace_test.)
    CHECK(starts[1] - starts[0] >= 99ms);
    CHECK(starts[2] - starts[1] >= 79ms);
    c.stop(probing);
}

TEST_CASE("trouble of our own says nothing about the worker")
{
    control c;
    const auto pool = test::pool_at({1});
    auto settings = quick();
    settings.unhealthy_after = 1;
    int probes = 0;
    const probe scripted = [&](const balancer::worker&, duration) -> asio::awaitable<probe_result> {
        if (++probes == 1) {
            co_return probe_result{};
        }
        co_return failure{errc::too_many, failure_source::internal, false, "out of file descriptors"};
    };
    prober probing{c.context.get_executor(), pool, settings, c.instruments, all_by(scripted)};
    probing.start();
    c.run_until([&] { return probes >= 5; });
    CHECK(view(*pool).health == worker_health::up);
    c.stop(probing);
}

TEST_CASE("stopping ends a probe that hangs")
{
    control c;
    const test::hanging_port hanging{c.context};
    const auto pool = test::pool_at({hanging.number()});
    auto settings = quick();
    settings.timeout = 60s;
    prober probing = c.watch(pool, settings);
    probing.start();
    c.context.poll();

    c.stop(probing);

    CHECK(view(*pool).health == worker_health::unknown);
}

TEST_CASE("a worker that has said GOAWAY is probed at once, on a new connection, and is back when that can be made")
{
    control c;
    std::optional<test::open_port> worker{c.context};
    const auto port = worker->number();
    const auto pool = test::pool_at({port});
    auto settings = quick();
    settings.interval = 1h;  // nothing but the GOAWAY leads to a second probe
    int probes = 0;
    // One that keeps its connection, and is still answered there.
    const probe kept = [&](const balancer::worker&, duration) -> asio::awaitable<probe_result> {
        ++probes;
        co_return probe_result{};
    };
    prober probing{c.context.get_executor(), pool, settings, c.instruments, all_by(kept)};
    probing.start();
    c.run_until([&] { return view(*pool).health == worker_health::up; });

    CHECK(pool->report_goaway(*view(*pool).worker));
    CHECK(view(*pool).going_away);
    c.run_until([&] { return !view(*pool).going_away; });
    CHECK(probes == 2);

    worker.reset();
    pool->report_goaway(*view(*pool).worker);
    c.run_until([&] {
        return c.instruments.expose().find(
                   "buildkit_lb_health_check_failures_total{pool=\"default\",reason=\"refused\"") != std::string::npos;
    });
    CHECK(view(*pool).going_away);
    CHECK(probes == 2);
    c.stop(probing);
}
