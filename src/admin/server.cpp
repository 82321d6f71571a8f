#include "admin/server.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <stdexcept>
#include <utility>

#include "core/log.hpp"

namespace buildkit_lb::admin {

namespace asio = boost::asio;
using namespace std::chrono_literals;

namespace {

constexpr int backlog = 128;

// How soon accepting is tried again when the process is out of file descriptors.
constexpr auto retry_delay = 100ms;

template <class Act>
auto explained(const Act& act)
{
    try {
        return act();
    } catch (const std::runtime_error& e) {
        throw std::runtime_error(std::string{"admin can't listen on "} + e.what());
    }
}

}  // namespace

server::server(asio::any_io_executor control, const endpoint& address, context about, server_limits limits,
               passed_sockets* passed)
    : control_{control},
      about_{std::move(about)},
      limits_{limits},
      access_{{}, access_rules::reach_of(address)},
      routes_{make_routes(about_)},
      socket_{explained([&] { return listening_socket{control, address, passed}; })},
      session_ended_{control, asio::steady_timer::time_point::max()},
      tasks_{control}
{
    explained([this] { socket_.listen(backlog); });
}

void server::start()
{
    log::info("admin is listening", {{"address", local_address()}});
    tasks_.spawn("admin accept", accept_loop());
}

asio::awaitable<void> server::stop()
{
    socket_.give_way();
    socket_.close();
    tasks_.cancel();
    // Not everything in Beast listens to cancellation.
    for (http_session* session : sessions_) {
        session->close();
    }
    co_await tasks_.join();
}

asio::awaitable<void> server::accept_loop()
{
    while (socket_.is_open()) {
        if (open_connections_ >= limits_.connections) {
            co_await session_ended_.async_wait(asio::as_tuple(asio::use_awaitable));
            continue;
        }
        auto [error, socket] = co_await socket_.acceptor().async_accept(asio::as_tuple(asio::use_awaitable));
        if (error == asio::error::operation_aborted) {
            co_return;
        }
        if (!error) {
            ++open_connections_;
            set_tcp_options(socket.native_handle());
            tasks_.spawn("admin connection", serve(std::move(socket)));
        } else if (classify(error) == errc::too_many) {
            asio::steady_timer timer{control_, retry_delay};
            co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
        }
        // Anything else is trouble of the one connection that was to be accepted.
    }
}

asio::awaitable<void> server::serve(stream_socket socket)
{
    http_session session{std::move(socket), routes_, access_, limits_};
    const auto place = sessions_.insert(sessions_.end(), &session);
    struct leaving {
        explicit leaving(server& of, std::list<http_session*>::iterator at) : from{of}, place{at} {}
        leaving(const leaving&) = delete;
        leaving& operator=(const leaving&) = delete;
        ~leaving()
        {
            from.sessions_.erase(place);
            --from.open_connections_;
            from.session_ended_.cancel();
        }
        server& from;
        std::list<http_session*>::iterator place;
    };
    const leaving guard{*this, place};
    co_await session.run();
}

}  // namespace buildkit_lb::admin
