#include <boost/asio/io_context.hpp>
#include <catch2/catch.hpp>
#include <deque>
#include <filesystem>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/resolve.hpp"
#include "support/balancer.hpp"
#include "support/ports.hpp"

using namespace buildkit_lb;
using namespace buildkit_lb::test;
using namespace std::chrono_literals;
using ending = peer::ending;

namespace {

/// Several workers, played by the test.
struct workers {
    explicit workers(std::size_t count) : ports(count) {}

    balancer_settings settings() const
    {
        balancer_settings s;
        for (const auto& port : ports) {
            s.workers.push_back(port.address());
        }
        return s;
    }

    std::deque<worker_port> ports;
};

/// Passes one byte from one to the other and says whether it came.
bool passes(peer& from, peer& to)
{
    return from.send("?") && to.receive(1) == "?";
}

/// Lets the process have `free` more descriptors than it has now, for as long as this lives.
class descriptor_limit {
public:
    explicit descriptor_limit(unsigned free)
    {
        REQUIRE(::getrlimit(RLIMIT_NOFILE, &before_) == 0);
        const int lowest_free = ::dup(0);
        REQUIRE(lowest_free >= 0);
        ::close(lowest_free);
        rlimit low = before_;
        low.rlim_cur = static_cast<rlim_t>(lowest_free) + free;
        REQUIRE(::setrlimit(RLIMIT_NOFILE, &low) == 0);
    }
    descriptor_limit(const descriptor_limit&) = delete;
    descriptor_limit& operator=(const descriptor_limit&) = delete;
    ~descriptor_limit() { ::setrlimit(RLIMIT_NOFILE, &before_); }

private:
    rlimit before_{};
};

/// A socket that exists and is not connected yet.
class early_socket {
public:
    early_socket() : fd_{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)} {}
    peer connect(const endpoint& where)
    {
        const auto address = numeric_address(where);
        REQUIRE(::connect(fd_, address->data(), static_cast<socklen_t>(address->size())) == 0);
        return peer{fd_};
    }

private:
    int fd_;
};

bool page_has(const balancer_under_test& lb, const std::string& line)
{
    return lb.metrics().expose().find(line + "\n") != std::string::npos;
}

}  // namespace

TEST_CASE("round robin gives each worker its turn")
{
    workers w{3};
    balancer_under_test lb{w.settings()};
    std::vector<peer> clients;
    std::vector<peer> served;

    for (std::size_t i = 0; i < 6; ++i) {
        clients.push_back(lb.connect());
        served.push_back(w.ports[i % 3].accept());
        REQUIRE(served.back().connected());
        CHECK(passes(clients.back(), served.back()));
    }

    for (std::size_t i = 0; i < 3; ++i) {
        CHECK(lb.worker(i)->active_builds() == 2);
    }
}

TEST_CASE("least-active-builds counts connections as builds")
{
    workers w{2};
    auto settings = w.settings();
    settings.policy = "least-active-builds";
    balancer_under_test lb{settings};
    std::vector<peer> clients;
    for (int i = 0; i < 4; ++i) {
        clients.push_back(lb.connect());
        REQUIRE(eventually([&] { return lb.leases() == clients.size(); }));
    }
    REQUIRE(lb.worker(0)->active_builds() == 2);
    std::vector<peer> of_second{};
    of_second.push_back(w.ports[1].accept());
    of_second.push_back(w.ports[1].accept());

    of_second.clear();  // the second worker ends both of its connections
    for (auto& client : clients) {
        client.half_close();
    }
    REQUIRE(eventually([&] { return lb.worker(1)->active_builds() == 0; }));
    clients.push_back(lb.connect());
    clients.push_back(lb.connect());

    CHECK(w.ports[1].accept().connected());
    CHECK(w.ports[1].accept().connected());
    CHECK(lb.worker(0)->active_builds() == 2);
}

TEST_CASE("a worker that can't be connected to is passed over without the client noticing")
{
    boost::asio::io_context context;
    const closed_port closed{context};
    const hanging_port hanging{context};
    worker_port good;
    balancer_settings settings;
    settings.connect_timeout = 300ms;
    std::string reason;
    SECTION("it refuses")
    {
        settings.workers = {tcp_at("127.0.0.1", closed.number()), good.address()};
        reason = "refused";
    }
    SECTION("it does not answer")
    {
        settings.workers = {tcp_at("127.0.0.1", hanging.number()), good.address()};
        reason = "timed_out";
    }
    balancer_under_test lb{settings};

    auto client = lb.connect();
    REQUIRE(client.send("sent before anybody listened"));
    auto served = good.accept();

    CHECK(served.receive(28) == "sent before anybody listened");
    CHECK(passes(served, client));
    CHECK(lb.worker(0)->active_builds() == 0);
    CHECK(lb.worker(1)->active_builds() == 1);
    CHECK(page_has(
        lb, "buildkit_lb_upstream_connect_failures_total{pool=\"default\",reason=\"" + reason + "\",worker=\"w1\"} 1"));
}

TEST_CASE("a client whose every worker fails sees a reset")
{
    boost::asio::io_context context;
    const closed_port closed{context};
    const hanging_port hanging{context};
    balancer_settings settings;
    settings.connect_timeout = 300ms;
    settings.workers = {tcp_at("127.0.0.1", closed.number()), tcp_at("127.0.0.1", hanging.number())};
    balancer_under_test lb{settings};

    auto client = lb.connect();
    REQUIRE(client.connected());

    CHECK(client.wait_for_end() == ending::reset);
    CHECK(eventually([&] { return lb.idle(); }));
}

TEST_CASE("a client that leaves while its worker is being connected to leaves nothing behind")
{
    boost::asio::io_context context;
    const hanging_port hanging{context};
    balancer_settings settings;
    settings.connect_timeout = 500ms;
    settings.workers = {tcp_at("127.0.0.1", hanging.number())};
    balancer_under_test lb{settings};

    lb.connect().reset();

    CHECK(eventually([&] { return page_has(lb, "buildkit_lb_connections_total{listener=\"test\"} 1"); }));
    CHECK(eventually([&] { return lb.idle(); }));
}

TEST_CASE("clients above max_connections wait and are served when one ends")
{
    workers w{1};
    auto settings = w.settings();
    settings.max_connections = 2;
    balancer_under_test lb{settings};
    auto first = lb.connect();
    auto first_served = w.ports[0].accept();
    auto second = lb.connect();
    auto second_served = w.ports[0].accept();

    auto third = lb.connect();
    REQUIRE(third.connected());
    REQUIRE(third.send("?"));
    CHECK(third.silent());
    CHECK_FALSE(w.ports[0].accept(moment).connected());
    CHECK(lb.accepted() == 2);
    CHECK(page_has(lb, "buildkit_lb_accept_pauses_total{listener=\"test\",reason=\"max_connections\"} 1"));
    CHECK(passes(first, first_served));

    first.close();
    first_served.close();
    auto third_served = w.ports[0].accept();
    CHECK(third_served.receive(1) == "?");
    CHECK(lb.accepted() == 2);
    CHECK(passes(second, second_served));
}

TEST_CASE("out of file descriptors, accepting pauses and goes on; what runs is not harmed")
{
    workers w{1};
    balancer_under_test lb{w.settings()};
    auto running = lb.connect();
    auto running_served = w.ports[0].accept();
    REQUIRE(passes(running, running_served));
    early_socket early;
    std::optional<peer> late;

    {
        const descriptor_limit none{0};
        late = early.connect(lb.address());
        REQUIRE(late->send("?"));
        // The page is made without a descriptor.
        CHECK(eventually([&] {
            return page_has(lb, "buildkit_lb_accept_pauses_total{listener=\"test\",reason=\"out_of_descriptors\"} 1");
        }));
        CHECK(passes(running, running_served));
        CHECK(passes(running_served, running));
        CHECK(late->silent());
        CHECK(lb.accepted() == 1);
    }

    auto late_served = w.ports[0].accept();
    CHECK(late_served.receive(1) == "?");
    CHECK(passes(late_served, *late));
    CHECK(passes(running, running_served));
}

TEST_CASE("out of file descriptors for the worker's side, a client waits and its worker is not blamed")
{
    workers w{1};
    balancer_under_test lb{w.settings()};
    early_socket early;
    std::optional<peer> client;

    {
        const descriptor_limit one{1};  // enough to accept, not to connect
        client = early.connect(lb.address());
        REQUIRE(eventually([&] { return lb.accepted() == 1; }));
        CHECK(client->silent());
    }

    auto served = w.ports[0].accept();
    REQUIRE(served.connected());
    CHECK(passes(*client, served));
    CHECK(lb.pool().snapshot()->workers[0].health != balancer::worker_health::down);
}

TEST_CASE("unix sockets serve on both sides, and the listener's file goes with it")
{
    const temporary_directory directory;
    worker_port port{unix_at(directory.file("worker.sock"))};
    balancer_settings settings;
    settings.address = unix_at(directory.file("lb.sock"));
    settings.workers = {port.address()};
    {
        balancer_under_test lb{settings};
        auto client = lb.connect();
        auto served = port.accept();
        CHECK(passes(client, served));
        client.half_close();
        CHECK(served.wait_for_end() == ending::closed);
        CHECK(passes(served, client));
        served.close();
        CHECK(client.wait_for_end() == ending::closed);
        CHECK(eventually([&] { return lb.idle(); }));
    }
    CHECK_FALSE(std::filesystem::exists(settings.address.path));
}

TEST_CASE("IPv6 serves on both sides")
{
    std::optional<worker_port> port;
    try {
        port.emplace(tcp_at("::1"));
    } catch (const std::runtime_error& e) {
        WARN("no IPv6 on this machine: " << e.what());
        return;
    }
    balancer_settings settings;
    settings.address = tcp_at("::1");
    settings.workers = {port->address()};
    balancer_under_test lb{settings};

    auto client = lb.connect();
    REQUIRE(client.connected());
    auto served = port->accept();

    CHECK(passes(client, served));
    CHECK(passes(served, client));
}

TEST_CASE("200 connections at once are spread, served and leave nothing behind")
{
    workers w{3};
    balancer_under_test lb{w.settings()};
    constexpr std::size_t count = 200;
    std::vector<peer> clients;
    for (std::size_t i = 0; i < count; ++i) {
        clients.push_back(lb.connect());
        REQUIRE(clients.back().send(std::to_string(1000 + i)));
    }
    REQUIRE(eventually([&] { return lb.leases() == count; }));
    std::vector<peer> served;
    for (std::size_t i = 0; i < 3; ++i) {
        const auto share = lb.worker(i)->active_builds();
        CHECK(share >= 66);
        CHECK(share <= 67);
        for (std::uint32_t n = 0; n < share; ++n) {
            served.push_back(w.ports[i].accept());
        }
    }
    CHECK(lb.connections() == count);

    // Each gets an answer to what it said itself.
    for (auto& s : served) {
        REQUIRE(s.send(s.receive(4)));
    }
    std::size_t answered = 0;
    for (std::size_t i = 0; i < count; ++i) {
        answered += clients[i].receive(4) == std::to_string(1000 + i) ? 1 : 0;
    }
    CHECK(answered == count);

    clients.clear();
    served.clear();
    CHECK(eventually([&] { return lb.idle(); }));
    CHECK(page_has(lb, "buildkit_lb_connections{listener=\"test\"} 0"));
    CHECK(page_has(lb, "buildkit_lb_connections_total{listener=\"test\"} 200"));
}

TEST_CASE("a graceful stop takes no new client and lets the old ones finish")
{
    workers w{1};
    balancer_under_test lb{w.settings()};
    auto client = lb.connect();
    auto served = w.ports[0].accept();
    REQUIRE(passes(client, served));

    lb.stop_accepting();

    CHECK_FALSE(lb.connect().connected());
    CHECK(passes(client, served));
    CHECK(passes(served, client));
    CHECK(lb.connections() == 1);
    client.close();
    served.close();
    CHECK(eventually([&] { return lb.idle(); }));
}

TEST_CASE("a hard stop cuts every connection, whatever it is doing")
{
    boost::asio::io_context context;
    const hanging_port hanging{context};
    workers w{1};
    auto settings = w.settings();
    settings.workers.push_back(tcp_at("127.0.0.1", hanging.number()));
    balancer_under_test lb{settings};
    auto quiet = lb.connect();
    auto quiet_served = w.ports[0].accept();
    auto connecting = lb.connect();
    REQUIRE(eventually([&] { return lb.leases() == 2; }));
    auto stuck = lb.connect();
    auto stuck_served = w.ports[0].accept();
    REQUIRE(stuck.send_until_stuck(64 << 20) > 0);
    auto half = lb.connect();  // its worker is the one that hangs
    REQUIRE(eventually([&] { return lb.leases() == 4; }));
    half.half_close();

    const auto begun = clock::now();
    lb.stop();

    CHECK(clock::now() - begun < 5s);
    CHECK(lb.connections() == 0);
    CHECK(lb.leases() == 0);
    CHECK(quiet.wait_for_end() != ending::none);
    CHECK(quiet_served.wait_for_end() != ending::none);
    CHECK(connecting.wait_for_end() != ending::none);
    CHECK(stuck.wait_for_end() != ending::none);
    CHECK(half.wait_for_end() != ending::none);
}

TEST_CASE("while the process is too large new connections wait, and those that run go on")
{
    worker_port worker;
    balancer_settings settings;
    settings.workers = {worker.address()};
    std::atomic<bool> too_large{false};
    settings.too_large = [&] { return too_large.load(); };
    balancer_under_test lb{settings};
    auto early = lb.connect();
    auto served = worker.accept();
    REQUIRE(passes(early, served));

    too_large = true;
    auto late = lb.connect();
    REQUIRE(eventually(
        [&] { return page_has(lb, "buildkit_lb_accept_pauses_total{listener=\"test\",reason=\"memory\"} 1"); }));
    CHECK_FALSE(worker.accept(moment).connected());
    CHECK(passes(early, served));
    CHECK(passes(served, early));

    too_large = false;
    auto served_late = worker.accept();
    CHECK(passes(late, served_late));
}
