#include "proxy/tcp/tcp_connection.hpp"

#include "core/log.hpp"
#include "proxy/tcp/tcp_relay.hpp"

namespace buildkit_lb::proxy {

namespace asio = boost::asio;

asio::awaitable<void> run_tcp_connection(const tcp_service& service, data_thread& on, stream_socket downstream)
{
    result<upstream_connection> connected = co_await connect_any(service.pool, service.instruments);
    if (!connected) {
        log::error("connection refused", {{"pool", service.pool.workers->name()}, {"error", connected.error().detail}});
        // A reset tells the client that nothing of what it sent was read; a plain close could look like an answer.
        // Closed here, because a socket's destructor takes the option back.
        boost::system::error_code ignored;
        downstream.set_option(asio::socket_base::linger{true, 0}, ignored);
        downstream.close(ignored);
        co_return;
    }
    tcp_relay relay{on, std::move(downstream), std::move(connected->socket), service.idle_timeout};
    const tcp_relay::byte_counter received = [&](std::size_t n) { service.metrics.received(n); };
    const tcp_relay::byte_counter sent = [&](std::size_t n) { service.metrics.sent(n); };
    co_await relay.run(received, sent);
    auto& pool = *service.pool.workers;
    const auto& worker = *connected->chosen.worker();
    if (relay.reset_by_worker()) {
        pool.report_fault(worker, balancer::traffic_fault::reset, worker.address().to_string() + ": reset a connection",
                          clock::now());
    } else if (relay.heard_worker()) {
        pool.report_success(worker);
    }
    if (relay.cut_by() != nullptr) {
        log::debug("connection cut", {{"pool", pool.name()}, {"worker", worker.name()}, {"reason", relay.cut_by()}});
    }
}

}  // namespace buildkit_lb::proxy
