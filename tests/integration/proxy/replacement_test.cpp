#include <atomic>
#include <catch2/catch.hpp>
#include <filesystem>
#include <memory>
#include <thread>
#include <vector>

#include "support/balancer.hpp"
#include "support/ports.hpp"
#include "support/wait.hpp"

using namespace buildkit_lb;
using namespace buildkit_lb::test;
using namespace std::chrono_literals;

namespace {

/// Greets whoever connects with one byte and hangs up.
class greeter {
public:
    greeter() : thread_{[this] { run(); }} {}
    greeter(const greeter&) = delete;
    greeter& operator=(const greeter&) = delete;
    ~greeter()
    {
        stop_ = true;
        thread_.join();
    }
    endpoint address() const { return port_.address(); }

private:
    void run()
    {
        while (!stop_) {
            auto client = port_.accept(50ms);
            if (client.connected()) {
                client.send("!");
            }
        }
    }

    worker_port port_;
    std::atomic<bool> stop_{false};
    std::thread thread_;
};

/// Clients that connect one after the other, each waiting for its greeting, until this is destroyed.
class storm {
public:
    storm(endpoint where, int width)
    {
        for (int i = 0; i < width; ++i) {
            threads_.emplace_back([this, where] {
                while (!stop_) {
                    peer client{where};
                    (client.connected() && client.receive(1) == "!" ? served : lost)++;
                }
            });
        }
    }
    storm(const storm&) = delete;
    storm& operator=(const storm&) = delete;
    ~storm() { stop(); }

    void stop()
    {
        stop_ = true;
        for (auto& t : threads_) {
            if (t.joinable()) {
                t.join();
            }
        }
    }

    std::atomic<int> served{0};
    std::atomic<int> lost{0};

private:
    std::atomic<bool> stop_{false};
    std::vector<std::thread> threads_;
};

}  // namespace

TEST_CASE("a balancer that is replaced three times in a storm of connections loses none")
{
    const temporary_directory directory;
    const greeter worker;
    balancer_settings settings;
    settings.workers = {worker.address()};
    SECTION("TCP") {}
    SECTION("unix")
    {
        settings.address = unix_at(directory.file("lb.sock"));
    }
    auto running = std::make_unique<balancer_under_test>(settings);
    settings.address = running->address();
    storm clients{settings.address, 4};
    REQUIRE(eventually([&] { return clients.served > 200; }));

    for (int i = 0; i < 3; ++i) {
        auto next = std::make_unique<balancer_under_test>(settings);
        running->stop_accepting();
        const int before = clients.served;
        REQUIRE(eventually([&] { return !running->accepting() && running->idle(); }));
        REQUIRE(eventually([&] { return clients.served > before + 100; }));
        running = std::move(next);
    }

    clients.stop();
    CHECK(clients.lost == 0);
    INFO(clients.served << " connections");
    running->stop_accepting();
    CHECK_FALSE(running->accepting());
    CHECK_FALSE(peer{settings.address}.connected());
}

TEST_CASE("those who wait above max_connections when a balancer stops are served")
{
    worker_port worker;
    balancer_settings settings;
    settings.workers = {worker.address()};
    settings.max_connections = 1;
    balancer_under_test lb{settings};
    auto first = lb.connect();
    auto first_served = worker.accept();
    auto second = lb.connect();
    REQUIRE(second.send("?"));
    REQUIRE(second.silent());

    lb.stop_accepting();

    auto second_served = worker.accept();
    CHECK(second_served.receive(1) == "?");
}
