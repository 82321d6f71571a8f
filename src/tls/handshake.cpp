#include "tls/handshake.hpp"

#include <boost/asio/error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <optional>
#include <utility>

#include "core/turn_gate.hpp"

namespace buildkit_lb::tls {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

/// Why the handshake has failed, after SSL_do_handshake has said that it has.
failure reason_of(SSL* ssl, int error, int system_error, failure_source from)
{
    failure why;
    why.source = from;
    why.retryable = true;
    why.code = errc::tls;
    const std::string words = take_openssl_error();
    if (const long verdict = SSL_get_verify_result(ssl); verdict == X509_V_ERR_APPLICATION_VERIFICATION) {
        why.detail = "TLS: the certificate has none of the names that are allowed";
    } else if (verdict != X509_V_OK) {
        why.detail = std::string{"TLS: the certificate is not accepted: "} + X509_verify_cert_error_string(verdict);
    } else if (!words.empty()) {
        why.detail = "TLS: " + words;
    } else if (error == SSL_ERROR_SYSCALL && system_error != 0) {
        const error_code system{system_error, boost::system::system_category()};
        why.code = classify(system);
        why.detail = "TLS: " + system.message() + " during the handshake";
    } else {
        why.code = errc::closed;
        why.detail = "TLS: the connection was closed during the handshake";
    }
    return why;
}

/// Waits for what a step of the handshake needs, then for its turn: a step with the private key takes up to a
/// millisecond, and a thousand clients may come at once.
asio::awaitable<error_code> ready_in_turn(stream_socket& socket, std::optional<stream_socket::wait_type> needs,
                                          time_point deadline)
{
    if (needs) {
        auto waiting = wait_ready(socket, *needs, deadline);
        if (const error_code problem = co_await std::move(waiting)) {
            co_return problem;
        }
    }
    const asio::any_io_executor executor = socket.get_executor();
    auto turn = turn_gate::of(executor).pass(executor, deadline);
    co_return co_await std::move(turn);
}

}  // namespace

asio::awaitable<result<socket>> shake_hands(stream_socket under, ssl_ptr state, time_point deadline,
                                            failure_source from)
{
    error_code problem;
    under.native_non_blocking(true, problem);
    if (!state || SSL_set_fd(state.get(), under.native_handle()) != 1) {
        co_return failure{errc::internal, failure_source::internal, true,
                          "TLS: no state for a connection could be made"};
    }
    std::optional<stream_socket::wait_type> needs;
    if (SSL_is_server(state.get()) == 1) {
        needs = stream_socket::wait_read;  // the client speaks first
    }
    for (;;) {
        // Awaiting anything after a cancellation would throw.
        const auto cancellation = co_await asio::this_coro::cancellation_state;
        if (cancellation.cancelled() != asio::cancellation_type::none) {
            problem = asio::error::operation_aborted;
        } else {
            auto waiting = ready_in_turn(under, needs, deadline);
            problem = co_await std::move(waiting);
        }
        if (problem) {
            const errc code = classify(problem);
            co_return failure{code, code == errc::canceled ? failure_source::internal : from, code != errc::canceled,
                              code == errc::timed_out ? "TLS: the handshake took too long"
                                                      : "TLS: " + problem.message() + " during the handshake"};
        }
        ERR_clear_error();
        errno = 0;
        const int outcome = SSL_do_handshake(state.get());
        const int system_error = errno;
        if (outcome == 1) {
            co_return socket{std::move(under), std::move(state)};
        }
        const int error = SSL_get_error(state.get(), outcome);
        if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) {
            co_return reason_of(state.get(), error, system_error, from);
        }
        needs = error == SSL_ERROR_WANT_READ ? stream_socket::wait_read : stream_socket::wait_write;
    }
}

}  // namespace buildkit_lb::tls
