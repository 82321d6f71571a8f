#include "proxy/downstream.hpp"

#include <utility>

#include "core/log.hpp"
#include "proxy/receive_proxy_header.hpp"

namespace buildkit_lb::proxy {

namespace asio = boost::asio;

namespace {

std::optional<connection_addresses> addresses_of(const stream_socket& socket)
{
    const auto source = remote_of(socket);
    const auto destination = local_of(socket);
    return source && destination ? std::optional{connection_addresses{*source, *destination}} : std::nullopt;
}

std::string peer_of(const std::optional<connection_addresses>& addresses)
{
    return addresses ? addresses->source.address.to_string() : std::string{};
}

std::string_view kind_of(errc code)
{
    switch (code) {
        case errc::tls: return "tls_handshake";
        case errc::protocol: return "proxy_header";
        case errc::timed_out: return "handshake_timeout";
        default: return {};  // it is gone, or we stop
    }
}

void refuse(const entrance& at, log::level level, const std::string& peer, std::string_view kind, std::string_view why)
{
    at.metrics.protocol_error(kind);
    log::write(level, "client refused", {{"listener", at.listener}, {"client", peer}, {"kind", kind}, {"error", why}});
}

void refuse(const entrance& at, const std::string& peer, const failure& why)
{
    if (const auto kind = kind_of(why.code); !kind.empty()) {
        refuse(at, log::level::warn, peer, kind, why.detail);
    }
}

/// Strangers may come by the thousand: what they can do to the log is up to its level.
void refuse_stranger(const entrance& at, const std::string& peer, std::string_view key)
{
    refuse(at, log::level::debug, peer, "not_allowed", "its address is not in " + std::string{key});
}

}  // namespace

downstream::downstream(stream_socket plain) : socket{std::move(plain)}, addresses{addresses_of(socket.raw)}
{
    peer = peer_of(addresses);
}

downstream::downstream(tls::socket from, const std::optional<connection_addresses>& told)
    : socket{std::move(from)}, addresses{told}, peer{peer_of(addresses)}
{
}

asio::awaitable<std::optional<downstream>> enter(const entrance& at, stream_socket socket)
{
    const auto deadline = clock::now() + at.handshake_timeout;
    auto addresses = addresses_of(socket);
    if (at.proxy_protocol) {
        if (addresses && !contains(at.proxy_from, addresses->source.address)) {
            refuse_stranger(at, peer_of(addresses), "proxy_from");
            co_return std::nullopt;
        }
        auto receiving = receive_proxy_header(socket, deadline);
        const result<proxy_header> header = co_await std::move(receiving);
        if (!header) {
            refuse(at, peer_of(addresses), header.error());
            co_return std::nullopt;
        }
        if (header->addresses) {
            addresses = header->addresses;
        }
    }
    if (addresses && !at.allow_from.empty() && !contains(at.allow_from, addresses->source.address)) {
        refuse_stranger(at, peer_of(addresses), "allow_from");
        co_return std::nullopt;
    }
    if (!at.tls) {
        co_return downstream{tls::socket{std::move(socket)}, addresses};
    }
    auto shaking = tls::shake_hands(std::move(socket), at.tls->accept(), deadline, failure_source::downstream);
    result<tls::socket> secured = co_await std::move(shaking);
    if (!secured) {
        refuse(at, peer_of(addresses), secured.error());
        co_return std::nullopt;
    }
    downstream entered{std::move(*secured), addresses};
    entered.dialled = tls::server_context::dialled_name(*entered.socket.ssl);
    entered.certificate = at.tls->client_name(*entered.socket.ssl);
    co_return entered;
}

}  // namespace buildkit_lb::proxy
