#include <boost/asio/this_coro.hpp>

#include "core/socket.hpp"
#include "health/probe.hpp"

namespace buildkit_lb::health {

namespace asio = boost::asio;

namespace {

asio::awaitable<probe_result> connect_and_close(const balancer::worker& w, duration timeout)
{
    const auto executor = co_await asio::this_coro::executor;
    const result<stream_socket> connected = co_await connect(executor, w.address(), timeout);
    if (!connected) {
        co_return connected.error();
    }
    co_return probe_result{};
}

}  // namespace

probe tcp_probe()
{
    return connect_and_close;
}

}  // namespace buildkit_lb::health
