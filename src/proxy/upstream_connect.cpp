#include "proxy/upstream_connect.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <chrono>
#include <sys/socket.h>

#include "core/log.hpp"

namespace buildkit_lb::proxy {

namespace asio = boost::asio;
using namespace std::chrono_literals;

namespace {

// Out of file descriptors is our trouble, not the worker's: connections end all the time, so it is worth waiting.
constexpr auto descriptor_retry = 50ms;

/// What little is sent first finds room in the buffer of a socket that is new: there is nothing to wait for.
result<void> greet(stream_socket& worker, const endpoint& where, std::string_view greeting)
{
    if (greeting.empty()) {
        return {};
    }
    const auto sent = ::send(worker.native_handle(), greeting.data(), greeting.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent == static_cast<ssize_t>(greeting.size())) {
        return {};
    }
    const boost::system::error_code error{sent < 0 ? errno : ENOBUFS, boost::system::system_category()};
    return failure{classify(error), failure_source::upstream, true,
                   where.to_string() + ": the PROXY header could not be sent: " + error.message()};
}

/// Connects, greets, and shakes hands where the pool has TLS.
asio::awaitable<result<tls::socket>> connect_by(const upstream_pool& pool, const endpoint& where, time_point deadline,
                                                std::string_view greeting)
{
    const auto executor = co_await asio::this_coro::executor;
    result<stream_socket> connected = co_await connect(executor, where, deadline - clock::now());
    if (!connected) {
        co_return connected.error();
    }
    if (const auto greeted = greet(*connected, where, greeting); !greeted) {
        co_return greeted.error();
    }
    const auto context = pool.tls.load();
    if (!context) {
        co_return tls::socket{std::move(*connected)};
    }
    auto shaking =
        tls::shake_hands(std::move(*connected), context->connect(where.host), deadline, failure_source::upstream);
    result<tls::socket> secured = co_await std::move(shaking);
    if (!secured) {
        failure why = secured.error();
        why.detail = where.to_string() + ": " + why.detail;
        co_return why;
    }
    co_return secured;
}

}  // namespace

asio::awaitable<result<tls::socket>> connect_worker(const upstream_pool& pool, const balancer::worker& w,
                                                    metrics::instruments& instruments, std::string_view greeting)
{
    const auto executor = co_await asio::this_coro::executor;
    const auto deadline = clock::now() + pool.connect_timeout.load();
    for (;;) {
        result<tls::socket> connected = co_await connect_by(pool, w.address(), deadline, greeting);
        if (connected) {
            co_return connected;
        }
        failure why = connected.error();
        if (why.code == errc::too_many && clock::now() + descriptor_retry < deadline) {
            asio::steady_timer timer{executor, descriptor_retry};
            co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
            continue;
        }
        if (why.code != errc::canceled) {
            instruments.upstream_connect_failed(pool.workers->name(), w.name(), to_string(why.code));
            log::warn("worker could not be connected to", {{"pool", pool.workers->name()},
                                                           {"worker", w.name()},
                                                           {"reason", to_string(why.code)},
                                                           {"error", why.detail}});
        }
        if (why.code != errc::canceled && why.code != errc::too_many) {
            pool.workers->report_connect_failure(w, why, clock::now());
        }
        co_return why;
    }
}

asio::awaitable<result<upstream_connection>> connect_any(const upstream_pool& pool, metrics::instruments& instruments,
                                                         std::string_view greeting)
{
    balancer::pick_context context;
    for (;;) {
        context.now = clock::now();
        auto chosen = pool.workers->pick_worker(context);
        if (!chosen && !context.include_down) {
            context.include_down = true;
            continue;
        }
        if (!chosen) {
            failure none;
            none.code = errc::no_worker;
            none.source = failure_source::upstream;
            none.detail = pool.workers->explain_no_pick(context);
            co_return none;
        }
        instruments.picked(pool.workers->name(), chosen->policy, chosen->reason);
        result<tls::socket> connected = co_await connect_worker(pool, *chosen->worker(), instruments, greeting);
        if (connected) {
            co_return upstream_connection{std::move(*chosen), std::move(*connected)};
        }
        if (connected.error().code == errc::canceled) {
            co_return connected.error();
        }
        context.excluded.push_back(chosen->worker());
    }
}

}  // namespace buildkit_lb::proxy
