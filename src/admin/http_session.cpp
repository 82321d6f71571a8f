#include "admin/http_session.hpp"

#include <algorithm>
#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <cerrno>
#include <exception>
#include <optional>
#include <sys/socket.h>
#include <utility>
#include <variant>

#include "core/log.hpp"
#include "core/text.hpp"

namespace buildkit_lb::admin {

namespace asio = boost::asio;
namespace beast = boost::beast;
using boost::system::error_code;
using namespace std::chrono_literals;

namespace {

using http_request = beast::http::request<beast::http::string_body>;
using http_response = beast::http::response<beast::http::string_body>;

// How long, and how much, a client may go on sending after an error was answered. Closing at once would reset the
// connection, and the client might never see the answer.
constexpr auto drain_time = 1s;
constexpr std::size_t drain_bytes = 256 * 1024;

/// What to answer when no request could be read; nullopt when there is nobody to tell.
std::optional<response> answer_to(const error_code& error, const server_limits& limits)
{
    using http_error = beast::http::error;
    if (error == http_error::header_limit) {
        return error_response(431, "the header is larger than " + std::to_string(limits.header_size) + " bytes");
    }
    if (error == http_error::body_limit) {
        return error_response(413, "the body is larger than " + std::to_string(limits.body_size) + " bytes");
    }
    if (error == http_error::end_of_stream || error == http_error::partial_message) {
        return std::nullopt;
    }
    if (error.category() == beast::http::make_error_code(http_error::bad_method).category()) {
        return error_response(400, "not an HTTP/1.1 request: " + error.message());
    }
    return std::nullopt;
}

http_response to_http(response&& answer, unsigned version, bool keep_alive)
{
    http_response out{beast::http::int_to_status(answer.status), version};
    out.set(beast::http::field::content_type, answer.content_type);
    out.set(beast::http::field::cache_control, "no-store");
    out.set("X-Content-Type-Options", "nosniff");
    if (!answer.allow.empty()) {
        out.set(beast::http::field::allow, answer.allow);
    }
    if (!answer.authenticate.empty()) {
        out.set(beast::http::field::www_authenticate, answer.authenticate);
    }
    out.keep_alive(keep_alive);
    out.body() = std::move(answer.body);
    out.prepare_payload();
    return out;
}

/// True when the client has closed its side or the connection is dead. A further request that lies there is neither.
bool has_gone(stream_socket& socket)
{
    char byte = 0;
    const auto size = ::recv(socket.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return size == 0 || (size < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

void copy_headers(const http_request& from, request& into)
{
    for (const auto& field : from) {
        const std::string_view name{field.name_string().data(), field.name_string().size()};
        into.headers.emplace(lower_case(name), std::string{field.value()});
    }
}

asio::awaitable<response> answer_request(const router& routes, const access_rules& allowed, http_request& incoming,
                                         stream_socket& socket)
{
    request asked;
    const bool head = incoming.method() == beast::http::verb::head;
    asked.method = head ? std::string{"GET"} : std::string{incoming.method_string()};
    if (!parse_target(std::string_view{incoming.target()}, asked)) {
        co_return error_response(400, "the request target is not a path");
    }
    copy_headers(incoming, asked);
    asked.body = std::move(incoming.body());
    asked.peer = peer_host(socket);
    asked.client_gone = [&socket] { return has_gone(socket); };
    if (auto refused = allowed.refuse(asked)) {
        log::warn(
            "admin call refused",
            {{"method", asked.method}, {"path", asked.path}, {"client", asked.peer}, {"status", refused->status}});
        co_return std::move(*refused);
    }
    auto found = routes.find(asked);
    if (auto* refused = std::get_if<response>(&found)) {
        co_return std::move(*refused);
    }
    const handler& answer = *std::get<const handler*>(found);
    try {
        auto waiting = answer(asked);
        co_return co_await std::move(waiting);
    } catch (const boost::system::system_error& e) {
        if (e.code() == asio::error::operation_aborted) {
            throw;  // the server is stopping
        }
        log::error("admin request failed", {{"path", asked.path}, {"error", e.what()}});
    } catch (const std::exception& e) {
        log::error("admin request failed", {{"path", asked.path}, {"error", e.what()}});
    }
    co_return error_response(500, "internal error; the log has more");
}

}  // namespace

class http_session::http {
public:
    explicit http(stream_socket socket) : stream{std::move(socket)} {}

    asio::awaitable<error_code> read(http_request& into, const server_limits& limits)
    {
        beast::http::request_parser<beast::http::string_body> parser;
        parser.header_limit(limits.header_size);
        parser.body_limit(limits.body_size);
        stream.expires_after(limits.read_timeout);
        const auto [error, size] =
            co_await beast::http::async_read(stream, buffer, parser, asio::as_tuple(asio::use_awaitable));
        // The answer to a request is made without a deadline: some wait for builds to end.
        stream.expires_never();
        into = parser.release();
        co_return error;
    }

    asio::awaitable<error_code> write(http_response& answer, bool head, const server_limits& limits)
    {
        stream.expires_after(limits.write_timeout);
        beast::http::response_serializer<beast::http::string_body> serializer{answer};
        error_code error;
        if (head) {
            const auto [failed, size] =
                co_await beast::http::async_write_header(stream, serializer, asio::as_tuple(asio::use_awaitable));
            error = failed;
        } else {
            const auto [failed, size] =
                co_await beast::http::async_write(stream, serializer, asio::as_tuple(asio::use_awaitable));
            error = failed;
        }
        stream.expires_never();
        co_return error;
    }

    /// Ends our side, then reads what the client still sends until it closes.
    asio::awaitable<void> finish()
    {
        error_code error;
        stream.socket().shutdown(asio::socket_base::shutdown_send, error);
        stream.expires_after(drain_time);
        std::array<char, 4096> ignored{};
        std::size_t drained = 0;
        while (!error && drained < drain_bytes) {
            const auto into = asio::buffer(ignored);
            const auto [failed, size] = co_await stream.async_read_some(into, asio::as_tuple(asio::use_awaitable));
            error = failed;
            drained += size;
        }
    }

    beast::basic_stream<asio::generic::stream_protocol> stream;
    beast::flat_buffer buffer;
};

http_session::http_session(stream_socket socket, const router& routes, const access_rules& allowed,
                           const server_limits& limits)
    : http_{std::make_unique<http>(std::move(socket))}, routes_{routes}, allowed_{allowed}, limits_{limits}
{
}

http_session::~http_session() = default;

asio::awaitable<void> http_session::run()
{
    bool keep_alive = true;
    while (keep_alive) {
        http_request incoming;
        const error_code unread = co_await http_->read(incoming, limits_);
        std::optional<response> answer;
        if (unread) {
            answer = answer_to(unread, limits_);
            keep_alive = false;
        } else {
            answer = co_await answer_request(routes_, allowed_, incoming, http_->stream.socket());
            keep_alive = incoming.keep_alive();
        }
        if (!answer) {
            co_return;
        }
        const bool head = incoming.method() == beast::http::verb::head;
        http_response out = to_http(std::move(*answer), unread ? 11 : incoming.version(), keep_alive);
        const error_code unwritten = co_await http_->write(out, head, limits_);
        if (unwritten) {
            co_return;
        }
    }
    co_await http_->finish();
}

void http_session::close()
{
    error_code ignored;
    http_->stream.socket().close(ignored);
}

}  // namespace buildkit_lb::admin
