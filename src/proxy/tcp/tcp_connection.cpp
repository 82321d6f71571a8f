#include "proxy/tcp/tcp_connection.hpp"

#include "core/log.hpp"
#include "proxy/tcp/tcp_relay.hpp"
#include "proxy/tcp/transport_relay.hpp"

namespace buildkit_lb::proxy {

namespace asio = boost::asio;

namespace {

/// What a connection that has ended says of its worker.
template <class Relay>
void judge(const tcp_service& service, const balancer::worker& worker, const Relay& relay)
{
    auto& pool = *service.pool.workers;
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

}  // namespace

asio::awaitable<void> run_tcp_connection(const tcp_service& of_listener, data_thread& on, downstream client)
{
    const tcp_service& service = find_by_host(of_listener.hosts, client.dialled, of_listener);
    const std::string& pool = service.pool.workers->name();
    const std::string greeting = make_proxy_header(service.pool.send_proxy.load(), client.addresses);
    result<upstream_connection> connected = co_await connect_any(service.pool, service.instruments, greeting);
    if (!connected) {
        log::error("connection refused", {{"pool", pool}, {"error", connected.error().detail}});
        // A reset tells the client that nothing of what it sent was read; a plain close could look like an answer.
        // Closed here, because a socket's destructor takes the option back.
        boost::system::error_code ignored;
        client.socket.raw.set_option(asio::socket_base::linger{true, 0}, ignored);
        client.socket.raw.close(ignored);
        co_return;
    }
    const tcp_relay::byte_counter received = [&](std::size_t n) { service.metrics.received(n); };
    const tcp_relay::byte_counter sent = [&](std::size_t n) { service.metrics.sent(n); };
    // With TLS on either side, bytes have to pass through OpenSSL.
    if (client.socket.ssl || connected->socket.ssl) {
        transport_relay relay{on, tls::make_transport(std::move(client.socket)),
                              tls::make_transport(std::move(connected->socket)), service.idle_timeout};
        co_await relay.run(received, sent);
        judge(service, *connected->chosen.worker(), relay);
    } else {
        tcp_relay relay{on, std::move(client.socket.raw), std::move(connected->socket.raw), service.idle_timeout};
        co_await relay.run(received, sent);
        judge(service, *connected->chosen.worker(), relay);
    }
}

}  // namespace buildkit_lb::proxy
