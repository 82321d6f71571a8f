#include "app/listener_unit.hpp"

#include <vector>

#include "app/settings.hpp"
#include "core/log.hpp"
#include "proxy/buildkit/connection.hpp"
#include "proxy/tcp/tcp_connection.hpp"

namespace buildkit_lb::app {

namespace asio = boost::asio;

namespace {

/// What the connections of one listener use, kept by each of them.
struct served {
    proxy::entrance entrance;
    std::vector<std::shared_ptr<pool_unit>> pools = {};
    // Of both, the listener's own pool is the first; one of them is empty.
    std::vector<std::unique_ptr<proxy::buildkit_service>> buildkit = {};
    std::vector<std::unique_ptr<proxy::tcp_service>> tcp = {};
};

asio::awaitable<void> run_tcp(std::shared_ptr<served> by, proxy::data_thread& on, stream_socket socket)
{
    if (auto client = co_await proxy::enter(by->entrance, std::move(socket))) {
        co_await proxy::run_tcp_connection(*by->tcp.front(), on, std::move(*client));
    }
}

asio::awaitable<void> run_buildkit(std::shared_ptr<served> by, proxy::data_thread& on, stream_socket socket)
{
    if (auto client = co_await proxy::enter(by->entrance, std::move(socket))) {
        co_await proxy::run_buildkit_connection(*by->buildkit.front(), on, std::move(*client));
    }
}

void add_tcp_service(served& by, const config::listener& from, std::string_view pool,
                     const listener_unit::surroundings& around)
{
    const auto unit = around.find_pool(pool);
    by.pools.push_back(unit);
    by.tcp.push_back(std::make_unique<proxy::tcp_service>(
        proxy::tcp_service{unit->upstream, around.instruments, by.entrance.metrics, from.idle_timeout, {}}));
}

void add_buildkit_service(served& by, const config::listener& from, std::string_view pool,
                          const listener_unit::surroundings& around)
{
    const auto unit = around.find_pool(pool);
    const auto& limits = around.settings.limits;
    const auto& configured = *std::find_if(around.settings.pools.begin(), around.settings.pools.end(),
                                           [&](const config::pool& p) { return p.name == pool; });
    by.pools.push_back(unit);
    by.buildkit.push_back(std::make_unique<proxy::buildkit_service>(
        proxy::buildkit_service{.listener = from.name,
                                .shared = unit->buildkit,
                                .instruments = around.instruments,
                                .metrics = by.entrance.metrics,
                                .idle_timeout = from.idle_timeout,
                                .progress = around.settings.progress,
                                .per_client = client_limits_of(limits),
                                .http2 = http2_options_of(limits),
                                .pool_call_timeout = limits.pool_call_timeout,
                                .key_sources = configured.affinity.keys,
                                .routes_by_key = configured.policy == config::policy::cache_affinity,
                                .handshake_timeout = limits.handshake_timeout,
                                .failover = failover_settings_of(configured),
                                .require = from.require,
                                .hosts = {}}));
}

proxy::listener::connection_handler make_handler(const config::listener& from,
                                                 const listener_unit::surroundings& around)
{
    auto by = std::make_shared<served>(served{{.listener = from.name,
                                               .metrics = around.instruments.for_listener(from.name),
                                               .tls = around.tls.of_listener(from.name),
                                               .handshake_timeout = around.settings.limits.handshake_timeout,
                                               .proxy_protocol = from.proxy_protocol == config::proxy_protocol::v1v2,
                                               .proxy_from = from.proxy_from,
                                               .allow_from = from.allow_from}});
    if (from.protocol == config::protocol::tcp) {
        add_tcp_service(*by, from, from.pool, around);
        for (const auto& route : from.hosts) {
            add_tcp_service(*by, from, route.pool, around);
            by->tcp.front()->hosts.push_back({route.host, by->tcp.back().get()});
        }
        return [by](proxy::data_thread& on, stream_socket socket) { return run_tcp(by, on, std::move(socket)); };
    }
    add_buildkit_service(*by, from, from.pool, around);
    for (const auto& route : from.hosts) {
        add_buildkit_service(*by, from, route.pool, around);
        by->buildkit.front()->hosts.push_back({route.host, by->buildkit.back().get()});
    }
    return [by](proxy::data_thread& on, stream_socket socket) { return run_buildkit(by, on, std::move(socket)); };
}

}  // namespace

listener_unit::listener_unit(const config::listener& from, const surroundings& around)
    : listener_{
          around.control,
          proxy::listener_settings{from.name, from.address, from.max_connections, &around.passed, around.too_large},
          around.threads, around.instruments, make_handler(from, around)}
{
}

void listener_unit::start()
{
    listener_.start();
    log::info("listening", {{"listener", listener_.name()}, {"address", listener_.local_address()}});
}

void listener_unit::update(const config::listener& from, const surroundings& around)
{
    listener_.update(from.max_connections, make_handler(from, around));
}

bool listener_unit::fits(const config::listener& from) const
{
    return from.name == listener_.name() && from.address == listener_.address();
}

}  // namespace buildkit_lb::app
