#include "proxy/downstream.hpp"

#include <utility>

#include "core/log.hpp"

namespace buildkit_lb::proxy {

namespace asio = boost::asio;

namespace {

std::string_view kind_of(errc code)
{
    switch (code) {
        case errc::tls: return "tls_handshake";
        case errc::timed_out: return "handshake_timeout";
        default: return {};  // it is gone, or we stop
    }
}

}  // namespace

asio::awaitable<std::optional<downstream>> enter(const entrance& at, stream_socket socket)
{
    if (!at.tls) {
        co_return downstream{std::move(socket)};
    }
    const std::string peer = peer_host(socket);
    auto shaking = tls::shake_hands(std::move(socket), at.tls->accept(), clock::now() + at.handshake_timeout,
                                    failure_source::downstream);
    result<tls::socket> secured = co_await std::move(shaking);
    if (!secured) {
        if (const auto kind = kind_of(secured.error().code); !kind.empty()) {
            at.metrics.protocol_error(kind);
            log::warn("client refused",
                      {{"listener", at.listener}, {"client", peer}, {"kind", kind}, {"error", secured.error().detail}});
        }
        co_return std::nullopt;
    }
    downstream entered{std::move(*secured), peer};
    entered.dialled = tls::server_context::dialled_name(*entered.socket.ssl);
    entered.certificate = at.tls->client_name(*entered.socket.ssl);
    co_return entered;
}

}  // namespace buildkit_lb::proxy
