#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>

#include "buildkit/wire_reader.hpp"
#include "proxy/buildkit/connection.hpp"
#include "proxy/buildkit/flows.hpp"

// grpc.health.v1, answered for the pool: buildkitd knows one service, the one without a name.

namespace buildkit_lb::proxy {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using buildkit::grpc_code;

namespace {

// grpc.health.v1.HealthCheckResponse: field 1 is 1 (SERVING), 2 (NOT_SERVING) or 3 (SERVICE_UNKNOWN).
constexpr std::string_view serving{"\x08\x01", 2};
constexpr std::string_view not_serving{"\x08\x02", 2};
constexpr std::string_view service_unknown{"\x08\x03", 2};

constexpr duration look_interval = 500ms;

/// HealthCheckRequest: field 1 is the service.
bool is_whole_server(std::string_view request)
{
    std::string_view service;
    buildkit::wire_reader fields{request};
    while (fields.next()) {
        if (fields.number() == 1) {
            service = fields.bytes();
        }
    }
    return service.empty();
}

std::string_view health_of_pool(call& c)
{
    auto& on = c.connection();
    return !on.stopping() && on.service().shared.pool.workers->snapshot()->ready() ? serving : not_serving;
}

}  // namespace

asio::awaitable<void> flow_health_check(call_ptr c)
{
    const auto message = co_await c->first_message();
    if (!message) {
        co_return;
    }
    if (is_whole_server(*message)) {
        c->answer(health_of_pool(*c));
    } else {
        c->fail(grpc_code::not_found, "unknown service");
    }
}

asio::awaitable<void> flow_health_watch(call_ptr c)
{
    const auto message = co_await c->first_message();
    if (!message) {
        co_return;
    }
    const bool known = is_whole_server(*message);
    asio::steady_timer timer{c->connection().executor()};
    std::string_view told;
    for (;;) {
        const auto now = known ? health_of_pool(*c) : service_unknown;
        if (now != told) {
            told = now;
            c->tell(buildkit::framed(now));
        }
        if (c->connection().stopping()) {
            end_for_stop(*c);
            co_return;
        }
        timer.expires_after(look_interval);
        co_await timer.async_wait(asio::use_awaitable);
        co_await c->room_to_tell();
    }
}

}  // namespace buildkit_lb::proxy
