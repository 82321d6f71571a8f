#include "ctl/admin_call.hpp"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <exception>
#include <optional>
#include <utility>

#include "core/socket.hpp"

namespace buildkit_lb::ctl {

namespace asio = boost::asio;
namespace beast = boost::beast;

namespace {

constexpr auto connect_timeout = std::chrono::seconds{10};

// /api/v1/workers of a thousand workers with many platforms and labels is about two megabytes.
constexpr std::uint64_t largest_answer = 256ULL << 20;

std::string host_of(const endpoint& address)
{
    constexpr std::string_view scheme = "tcp://";
    return address.type == endpoint::kind::tcp ? address.to_string().substr(scheme.size()) : "localhost";
}

complaint lost(const endpoint& address, const boost::system::error_code& error)
{
    const bool late = error == beast::error::timeout;
    const bool ended = error == beast::http::error::end_of_stream || error == beast::http::error::partial_message;
    return complaint{"the admin server at " + address.to_string() +
                     (late    ? " did not answer in time"
                      : ended ? " closed the connection without an answer: it was stopped, or is no HTTP server"
                              : ": " + error.message())};
}

/// Writes to `outcome`: a co_return of a result would need a value of it before there is one.
asio::awaitable<void> ask(const endpoint& address, const std::string& token, const admin_call& call,
                          std::optional<checked<admin_answer>>& outcome)
{
    const auto executor = co_await asio::this_coro::executor;
    auto connected = co_await connect(executor, address, std::min<duration>(connect_timeout, call.timeout));
    if (!connected) {
        outcome = complaint{"can't reach the admin server at " + address.to_string() + ": " + connected.error().detail +
                            "; is the balancer running there? --admin says where it is"};
        co_return;
    }
    // A call may wait for hours: a server that is gone without a word is to be noticed.
    set_tcp_options(connected->native_handle());
    beast::basic_stream<asio::generic::stream_protocol> stream{std::move(*connected)};
    stream.expires_after(call.timeout);

    beast::http::request<beast::http::empty_body> request{beast::http::string_to_verb(call.method), call.target, 11};
    request.set(beast::http::field::host, host_of(address));
    request.set(beast::http::field::user_agent, "buildkit-lb");
    if (!token.empty()) {
        request.set(beast::http::field::authorization, "Bearer " + token);
    }
    request.keep_alive(false);
    request.prepare_payload();
    const auto [unwritten, sent] =
        co_await beast::http::async_write(stream, request, asio::as_tuple(asio::use_awaitable));
    if (unwritten) {
        outcome = lost(address, unwritten);
        co_return;
    }
    beast::flat_buffer buffer;
    beast::http::response_parser<beast::http::string_body> parser;
    parser.body_limit(largest_answer);
    const auto [unread, size] =
        co_await beast::http::async_read(stream, buffer, parser, asio::as_tuple(asio::use_awaitable));
    if (unread) {
        outcome = lost(address, unread);
        co_return;
    }
    admin_answer answer;
    answer.status = parser.get().result_int();
    answer.body = std::move(parser.get().body());
    outcome = std::move(answer);
}

}  // namespace

admin_server admin_server_at(endpoint address, std::string token)
{
    return [address = std::move(address), token = std::move(token)](const admin_call& call) -> checked<admin_answer> {
        asio::io_context context{1};
        std::optional<checked<admin_answer>> outcome;
        asio::co_spawn(context, ask(address, token, call, outcome), [](const std::exception_ptr& error) {
            if (error) {
                std::rethrow_exception(error);
            }
        });
        try {
            context.run();
        } catch (const std::exception& e) {
            return complaint{e.what()};
        }
        return outcome ? std::move(*outcome) : complaint{"no answer"};
    };
}

}  // namespace buildkit_lb::ctl
