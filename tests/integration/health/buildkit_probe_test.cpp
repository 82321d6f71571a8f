#include <algorithm>
#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <catch2/catch.hpp>
#include <optional>

#include "balancer/policies/registry.hpp"
#include "buildkit/methods.hpp"
#include "buildkit/wire/control.pb.h"
#include "buildkit/wire/gateway.pb.h"
#include "health/prober.hpp"
#include "support/fake_buildkit.hpp"
#include "support/ports.hpp"

using namespace buildkit_lb;
using namespace buildkit_lb::health;
using namespace buildkit_lb::test;
using namespace std::chrono_literals;
using balancer::worker_health;
using buildkit::grpc_code;
namespace asio = boost::asio;

namespace {

constexpr std::string_view list_path = "/moby.buildkit.v1.Control/ListWorkers";
constexpr std::string_view info_path = "/moby.buildkit.v1.Control/Info";

/// What a scripted buildkitd says of itself. A test changes what it wants otherwise.
struct script {
    std::string id = "first";
    std::string version = "v0.34.2";
    std::vector<std::string> variants = {"", "v2"};
    std::string capability = "one";

    std::string list() const
    {
        wire::control::ListWorkersResponse response;
        auto& record = *response.add_record();
        record.set_id(id);
        (*record.mutable_labels())["a"] = "1";
        (*record.mutable_labels())["b"] = "2";
        for (const auto& variant : variants) {
            auto& platform = *record.add_platforms();
            platform.set_os("linux");
            platform.set_architecture("amd64");
            platform.set_variant(variant);
        }
        record.mutable_buildkitversion()->set_version("of the record");
        return response.SerializeAsString();
    }
    std::string info() const
    {
        wire::control::InfoResponse response;
        response.mutable_buildkitversion()->set_version(version);
        return response.SerializeAsString();
    }
    std::string pong() const
    {
        wire::gateway::PongResponse response;
        response.add_frontendapicaps()->set_id(capability);
        return response.SerializeAsString();
    }
};

/// A scripted worker that answers probes as a buildkitd does, and the prober of a pool with it, all on this thread.
class watched {
public:
    explicit watched(std::size_t count = 1)
    {
        settings.type = config::probe_type::buildkit;
        settings.interval = 100ms;
        settings.timeout = 5s;
        settings.unhealthy_after = 2;
        settings.healthy_after = 1;
        for (std::size_t i = 0; i < count; ++i) {
            auto& w = workers.emplace_back(peers);
            says.emplace_back();
            w.on_call = [this, i](grpc_stream& call) { answer(says[i], call); };
        }
    }
    ~watched()
    {
        stop();
        for (auto& w : workers) {
            w.close();
        }
        if (!peers.run_until([this] { return peers.tasks().size() == 0; })) {
            std::abort();
        }
    }

    /// As a buildkitd would, but for what a test has put into `instead`.
    void answer(const script& what, grpc_stream& call)
    {
        if (instead && instead(call)) {
            return;
        }
        const std::string path = call.path();
        if (path == list_path) {
            call.answer(what.list());
        } else if (path == info_path) {
            call.answer(what.info());
        } else if (path == solve_path) {
            solves.push_back(&call);
        } else if (path == ping_path) {
            call.answer(what.pong());
        } else if (path == llb_return_path) {
            call.answer({});
            const auto ref = call.request.get(buildkit::build_id_header);
            const auto named = [&](const grpc_stream* solve) {
                wire::control::SolveRequest request;
                return request.ParseFromString(solve->messages.at(0)) && request.ref() == ref;
            };
            (*std::find_if(solves.begin(), solves.end(), named))->answer({});
        } else {
            call.finish(grpc_code::unimplemented);
        }
    }

    void start()
    {
        std::vector<endpoint> at;
        for (auto& w : workers) {
            at.push_back(w.address());
        }
        start_with(at);
    }
    void start_with(const std::vector<endpoint>& addresses)
    {
        std::vector<balancer::worker_settings> made;
        for (const auto& where : addresses) {
            balancer::worker_settings w;
            w.name = "w" + std::to_string(made.size() + 1);
            w.address = where;
            made.push_back(std::move(w));
        }
        pool = std::make_shared<balancer::pool>("default", std::move(made), balancer::make_policy("round-robin"));
        probing.emplace(peers.context().get_executor(), pool, settings, instruments);
        probing->start();
    }
    /// How long that took.
    duration stop()
    {
        const auto began = clock::now();
        if (probing) {
            task_group stopping{peers.context().get_executor()};
            stopping.spawn("stop", probing->stop());
            REQUIRE(peers.run_until([&] { return stopping.size() == 0; }));
            probing.reset();
        }
        return clock::now() - began;
    }

    balancer::worker_view view(std::size_t index = 0) const { return pool->snapshot()->workers.at(index); }
    bool is(worker_health health, std::size_t index = 0) const { return view(index).health == health; }
    bool until(worker_health health)
    {
        return peers.run_until([&] { return is(health); });
    }
    std::size_t count(std::string_view path) const
    {
        std::size_t n = 0;
        while (workers.front().call(path, n) != nullptr) {
            ++n;
        }
        return n;
    }
    bool probed(std::size_t times)
    {
        return peers.run_until([&] { return count(list_path) >= times; });
    }
    double failures(const std::string& reason) const
    {
        const std::string page = instruments.expose();
        const std::string series =
            R"(buildkit_lb_health_check_failures_total{pool="default",reason=")" + reason + R"(",worker="w1"} )";
        const auto at = page.find(series);
        return at == std::string::npos ? 0 : std::stod(page.substr(at + series.size()));
    }

    peers_thread peers;
    std::deque<fake_worker> workers;
    std::deque<script> says;
    std::function<bool(grpc_stream&)> instead;
    std::vector<grpc_stream*> solves;
    config::health_check settings;
    metrics::instruments instruments;
    std::shared_ptr<balancer::pool> pool;
    std::optional<prober> probing;
};

bool capability_is(const balancer::worker_view& view, const std::string& id)
{
    wire::gateway::PongResponse pong;
    return view.facts && pong.ParseFromString(view.facts->pong) && pong.frontendapicaps_size() == 1 &&
           pong.frontendapicaps(0).id() == id;
}

}  // namespace

TEST_CASE("a worker that answers is up, and the pool has learned what it says of itself", "[no-tsan]")
{
    watched w;
    w.start();
    REQUIRE(w.until(worker_health::up));

    const auto facts = w.view().facts;
    REQUIRE(facts != nullptr);
    CHECK(facts->id == "first");
    CHECK(facts->version == "v0.34.2");
    CHECK(facts->platforms == std::vector<std::string>{"linux/amd64", "linux/amd64/v2"});
    CHECK(facts->labels.at("b") == "2");
    REQUIRE(facts->records.size() == 1);
    CHECK_FALSE(facts->info.empty());
    CHECK(capability_is(w.view(), "one"));
}

TEST_CASE("the build that asks for capabilities is internal, new each time, and ends with a result", "[no-tsan]")
{
    watched w;
    w.start();
    REQUIRE(w.until(worker_health::up));

    wire::control::SolveRequest request;
    REQUIRE(w.solves.size() == 1);
    REQUIRE(request.ParseFromString(w.solves[0]->messages.at(0)));
    CHECK(request.internal());
    CHECK_FALSE(request.ref().empty());
    for (const auto path : {ping_path, llb_return_path}) {
        REQUIRE(w.workers[0].call(path) != nullptr);
        CHECK(w.workers[0].call(path)->request.get(buildkit::build_id_header) == request.ref());
    }
    // There is a result, and it is empty.
    CHECK(w.workers[0].call(llb_return_path)->messages.at(0) == std::string{"\x0a\x00", 2});
    CHECK_FALSE(w.solves[0]->reset_by_peer.has_value());
}

TEST_CASE("probes share one connection, and capabilities are asked for once", "[no-tsan]")
{
    watched w;
    w.settings.interval = 5ms;
    w.start();
    REQUIRE(w.probed(5));
    CHECK(w.workers[0].connections() == 1);
    CHECK(w.solves.size() == 1);
    const auto facts = w.view().facts;
    REQUIRE(w.probed(8));
    CHECK(w.view().facts == facts);  // nothing new: the same object
}

TEST_CASE("a worker that leaves the pool is left alone, its connection too", "[no-tsan]")
{
    watched w{2};
    w.start();
    REQUIRE(w.peers.run_until([&] { return w.is(worker_health::up, 0) && w.is(worker_health::up, 1); }));
    balancer::worker_settings stays;
    stays.name = "w1";
    stays.address = w.workers[0].address();
    w.pool->set_workers({stays});
    w.pool->drop_idle_leavers();
    w.probing->follow();
    REQUIRE(w.peers.run_until([&] { return w.workers[1].connections() == 0; }));
    CHECK(w.workers[0].connections() == 1);
}

TEST_CASE("connections to a worker that takes them and says nothing are closed, not piled up", "[no-tsan]")
{
    watched w;
    w.settings.timeout = 200ms;
    w.settings.interval = 20ms;
    asio::ip::tcp::acceptor silent{w.peers.context(), {asio::ip::make_address("127.0.0.1"), 0}};
    std::deque<asio::ip::tcp::socket> taken;
    std::size_t closed = 0;
    std::array<char, 1024> dropped{};
    std::function<void(asio::ip::tcp::socket&)> read = [&](asio::ip::tcp::socket& from) {
        from.async_read_some(asio::buffer(dropped), [&](boost::system::error_code ended, std::size_t) {
            if (ended) {
                ++closed;
            } else {
                read(from);
            }
        });
    };
    std::function<void()> accept = [&] {
        silent.async_accept([&](boost::system::error_code failed, asio::ip::tcp::socket one) {
            if (!failed) {
                read(taken.emplace_back(std::move(one)));
                accept();
            }
        });
    };
    accept();
    w.start_with({tcp_at("127.0.0.1", silent.local_endpoint().port())});
    REQUIRE(w.until(worker_health::down));
    REQUIRE(w.peers.run_until([&] { return taken.size() >= 4 && closed >= 3; }));
    w.stop();
    REQUIRE(w.peers.run_until([&] { return closed == taken.size(); }));
    silent.close();
    REQUIRE(w.peers.run_until([&] { return true; }));
}

TEST_CASE("one connection is left to a worker that has hung while probes tried to connect", "[no-tsan]")
{
    // Whatever is under way when it goes on: gRPC 1.51 leaks a connection that is dropped before SETTINGS come.
    const auto hung_for = std::chrono::milliseconds{GENERATE(range(200, 550, 50))};
    watched w;
    w.settings.timeout = 100ms;
    w.settings.interval = 120ms;
    w.workers[0].hang();
    w.start();
    const time_point until = clock::now() + hung_for;
    REQUIRE(w.peers.run_until([&] { return clock::now() >= until; }));
    w.workers[0].resume();
    REQUIRE(w.until(worker_health::up));
    REQUIRE(w.probed(w.count(list_path) + 2));
    CHECK(w.workers[0].connections() == 1);
}

TEST_CASE("a worker with another version is asked for its capabilities again", "[no-tsan]")
{
    watched w;
    w.settings.interval = 5ms;
    w.start();
    REQUIRE(w.until(worker_health::up));
    w.says[0].version = "v0.35.0";
    w.says[0].capability = "two";
    REQUIRE(w.peers.run_until([&] { return w.view().facts->version == "v0.35.0"; }));
    CHECK(capability_is(w.view(), "two"));
    CHECK(w.solves.size() == 2);
}

TEST_CASE("a worker that can't tell its capabilities is up all the same, and is not asked for ever", "[no-tsan]")
{
    watched w;
    w.settings.interval = 5ms;
    w.instead = [](grpc_stream& call) {
        if (call.path() == ping_path) {
            call.finish(grpc_code::not_found, "no such job");
        }
        return call.path() == ping_path;
    };
    w.start();
    REQUIRE(w.probed(10));
    CHECK(w.is(worker_health::up));
    CHECK(w.view().facts->pong.empty());
    CHECK(w.solves.size() == 3);
    // What it began it also ends.
    CHECK(w.peers.run_until([&] { return w.solves.back()->reset_by_peer == http2::error_code::cancel; }));
}

TEST_CASE("a worker that does not know Info is up, with the version of its record", "[no-tsan]")
{
    watched w;
    w.instead = [](grpc_stream& call) {
        if (call.path() == info_path) {
            call.finish(grpc_code::unimplemented, "unknown method Info");
        }
        return call.path() == info_path;
    };
    w.start();
    REQUIRE(w.until(worker_health::up));
    CHECK(w.view().facts->version == "of the record");
    CHECK(w.view().facts->info.empty());
}

TEST_CASE("a worker whose answers make no sense is down", "[no-tsan]")
{
    watched w;
    const auto [list, why] = GENERATE(table<std::string, std::string>({
        {"", "it has no worker"},
        {"\xff\xff\xff", "an answer that can't be read"},
        {std::string{"\x0a\x00", 2}, "a worker without an ID"},
    }));
    w.instead = [answer = list](grpc_stream& call) {
        if (call.path() == list_path) {
            call.answer(answer);
        }
        return call.path() == list_path;
    };
    w.start();
    REQUIRE(w.until(worker_health::down));
    CHECK(w.view().last_error == w.workers[0].address().to_string() + ": ListWorkers: " + why);
    CHECK(w.failures("protocol") >= 1);
}

TEST_CASE("an error that the worker answers is why it is down", "[no-tsan]")
{
    watched w;
    w.instead = [](grpc_stream& call) {
        call.finish(grpc_code::permission_denied, "not\nyou");
        return true;
    };
    w.start();
    REQUIRE(w.until(worker_health::down));
    CHECK(w.view().last_error == w.workers[0].address().to_string() + ": ListWorkers: PERMISSION_DENIED: not you");
}

TEST_CASE("a worker that speaks HTTP/2 and then does not answer is found at the deadline", "[no-tsan]")
{
    watched w;
    w.settings.timeout = 100ms;
    w.instead = [](grpc_stream&) { return true; };
    w.start();
    REQUIRE(w.until(worker_health::down));
    CHECK(w.view().last_error == w.workers[0].address().to_string() +
                                     ": ListWorkers: DEADLINE_EXCEEDED: no answer within health_check.timeout");
    CHECK(w.failures("timed_out") >= 1);
}

TEST_CASE("a worker that accepts and stays silent is found at the deadline", "[no-tsan]")
{
    watched w;
    w.settings.timeout = 100ms;
    const open_port silent{w.peers.context()};
    w.start_with({tcp_at("127.0.0.1", silent.number())});
    REQUIRE(w.until(worker_health::down));
    CHECK_THAT(w.view().last_error, Catch::EndsWith(": no HTTP/2 connection within health_check.timeout"));
    CHECK(w.failures("timed_out") >= 1);
}

TEST_CASE("a worker that speaks something else is down", "[no-tsan]")
{
    watched w;
    asio::ip::tcp::acceptor acceptor{w.peers.context(), {asio::ip::make_address("127.0.0.1"), 0}};
    std::deque<asio::ip::tcp::socket> accepted;
    const auto speak = [](asio::ip::tcp::acceptor& at, auto& kept) -> asio::awaitable<void> {
        for (;;) {
            auto [error, socket] = co_await at.async_accept(asio::as_tuple(asio::use_awaitable));
            if (error) {
                co_return;
            }
            const std::string_view answer = "HTTP/1.1 400 Bad Request\r\n\r\n";
            asio::write(kept.emplace_back(std::move(socket)), asio::buffer(answer));
        }
    };
    w.peers.tasks().spawn("speaks HTTP/1", speak(acceptor, accepted));
    w.start_with({tcp_at("127.0.0.1", acceptor.local_endpoint().port())});
    REQUIRE(w.until(worker_health::down));
    CHECK_THAT(w.view().last_error, Catch::EndsWith(": it does not speak plaintext HTTP/2"));
    CHECK(w.failures("protocol") >= 1);
    acceptor.close();
}

TEST_CASE("a worker that refuses connections is down, and found again when it is back", "[no-tsan]")
{
    watched w;
    w.settings.interval = 20ms;
    std::optional<closed_port> closed{w.peers.context()};
    const auto number = closed->number();
    w.start_with({tcp_at("127.0.0.1", number)});
    REQUIRE(w.until(worker_health::down));
    CHECK(w.view().last_error == "tcp://127.0.0.1:" + std::to_string(number) + ": Connection refused");
    CHECK(w.failures("refused") >= 1);

    closed.reset();
    auto& back = w.workers.emplace_back(w.peers, number);
    back.on_call = [&w, what = script{}](grpc_stream& call) { w.answer(what, call); };
    REQUIRE(w.until(worker_health::up));
    CHECK(w.view().last_error.empty());
    CHECK(capability_is(w.view(), "one"));
}

TEST_CASE("a worker that was away is asked for its capabilities again", "[no-tsan]")
{
    watched w;
    w.settings.interval = 5ms;
    w.start();
    REQUIRE(w.until(worker_health::up));
    w.instead = [](grpc_stream& call) {
        call.finish(grpc_code::unavailable, "restarting");
        return true;
    };
    REQUIRE(w.until(worker_health::down));
    CHECK(capability_is(w.view(), "one"));  // remembered
    w.says[0].capability = "two";
    w.instead = nullptr;
    REQUIRE(w.until(worker_health::up));
    CHECK(capability_is(w.view(), "two"));
}

TEST_CASE("a lost connection between probes is made again", "[no-tsan]")
{
    watched w;
    w.settings.interval = 20ms;
    w.settings.unhealthy_after = 3;
    w.start();
    REQUIRE(w.until(worker_health::up));
    w.workers[0].cut();
    const auto seen = w.count(list_path);
    REQUIRE(w.probed(seen + 3));
    CHECK(w.is(worker_health::up));
}

TEST_CASE("a worker on a unix socket that is not there is down", "[no-tsan]")
{
    watched w;
    const temporary_directory directory;
    endpoint where;
    where.type = endpoint::kind::unix_socket;
    where.path = directory.file("not here%.sock");
    w.start_with({where});
    REQUIRE(w.until(worker_health::down));
    CHECK(w.view().last_error == where.to_string() + ": No such file or directory");
    CHECK(w.failures("unreachable") >= 1);
}

TEST_CASE("two names for one daemon are used both", "[no-tsan]")
{
    watched w{2};
    w.start();
    REQUIRE(w.peers.run_until([&] { return w.is(worker_health::up, 0) && w.is(worker_health::up, 1); }));
    CHECK(w.view(0).facts->id == w.view(1).facts->id);
}

TEST_CASE("stopping ends a buildkit probe that waits, whatever it waits for", "[no-tsan]")
{
    watched w;
    w.settings.timeout = 60s;
    const std::string_view silent = GENERATE(list_path, info_path, ping_path, llb_return_path);
    bool reached = false;
    w.instead = [&](grpc_stream& call) {
        reached = reached || call.path() == silent;
        return call.path() == silent;
    };
    w.start();
    REQUIRE(w.peers.run_until([&] { return reached; }));
    CHECK(w.stop() < 5s);
    CHECK(w.is(worker_health::unknown));
}

TEST_CASE("stopping ends a buildkit probe that has no connection yet", "[no-tsan]")
{
    watched w;
    w.settings.timeout = 60s;
    const hanging_port hanging{w.peers.context()};
    w.start_with({tcp_at("127.0.0.1", hanging.number())});
    w.peers.never([] { return false; });
    CHECK(w.stop() < 5s);
    CHECK(w.is(worker_health::unknown));
}
