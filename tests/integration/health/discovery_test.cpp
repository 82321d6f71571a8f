#include "health/discovery.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <catch2/catch.hpp>
#include <deque>

namespace asio = boost::asio;
using namespace buildkit_lb;
using namespace std::chrono_literals;

namespace {

socket_address at(const char* host)
{
    return asio::ip::tcp::endpoint{asio::ip::make_address(host), 1234};
}

/// Answers lookups out of a script, and stops when it is used up.
struct stage {
    using answer = result<std::vector<socket_address>>;

    void run(std::deque<answer> script)
    {
        config::discovery settings;
        settings.dns = *parse_endpoint("tcp://workers.example:1234");
        settings.interval = 1ms;
        health::discovery watched{context.get_executor(),
                                  "p",
                                  settings,
                                  instruments,
                                  [&](const std::vector<endpoint>& found) {
                                      std::string names;
                                      for (const auto& e : found) {
                                          names += health::discovered_name(e) + " ";
                                      }
                                      told.push_back(names);
                                  },
                                  [&](const endpoint&, time_point) -> asio::awaitable<answer> {
                                      if (script.empty()) {
                                          co_return failure{errc::canceled, failure_source::internal, false, {}};
                                      }
                                      auto next = std::move(script.front());
                                      script.pop_front();
                                      if (script.empty() && cancels_in_last) {
                                          running->cancel();
                                      }
                                      co_return next;
                                  }};
        running = &watched;
        watched.start();
        context.run_for(10s);
        CHECK(script.empty());
    }

    asio::io_context context;
    metrics::instruments instruments{"test"};
    std::vector<std::string> told;
    bool cancels_in_last = false;
    health::discovery* running = nullptr;
};

}  // namespace

TEST_CASE("discovery tells of changes only, in a stable order")
{
    stage s;
    s.run({std::vector{at("10.0.0.2"), at("10.0.0.1"), at("10.0.0.2")}, std::vector{at("10.0.0.1"), at("10.0.0.2")},
           std::vector{at("10.0.0.1"), at("fd00::7")}});
    CHECK(s.told == std::vector<std::string>{"10.0.0.1:1234 10.0.0.2:1234 ", "10.0.0.1:1234 [fd00::7]:1234 "});
}

TEST_CASE("a lookup that fails or finds nothing changes nothing")
{
    stage s;
    const failure failed{errc::resolve_failed, failure_source::internal, true, "no such name"};
    s.run({std::vector{at("10.0.0.1")}, failed, std::vector<socket_address>{}, std::vector{at("10.0.0.1")},
           std::vector{at("10.0.0.3")}});
    CHECK(s.told == std::vector<std::string>{"10.0.0.1:1234 ", "10.0.0.3:1234 "});
    CHECK(s.instruments.expose().find("buildkit_lb_discovery_failures_total{pool=\"p\"} 2") != std::string::npos);
}

TEST_CASE("what a lookup finds after discovery was cancelled is not told")
{
    stage s;
    s.cancels_in_last = true;
    s.run({std::vector{at("10.0.0.1")}, std::vector{at("10.0.0.2")}});
    CHECK(s.told == std::vector<std::string>{"10.0.0.1:1234 "});
}
