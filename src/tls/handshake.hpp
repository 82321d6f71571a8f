#pragma once

#include <boost/asio/awaitable.hpp>
#include <memory>

#include "core/socket.hpp"
#include "core/transport.hpp"
#include "tls/context.hpp"

namespace buildkit_lb::tls {

/// A connected socket: with TLS on it, or in the clear. Owned by its connection, on its thread.
struct socket {
    stream_socket raw;
    ssl_ptr ssl;  ///< null: in the clear

    explicit socket(stream_socket plain) : raw{std::move(plain)} {}
    socket(stream_socket under, ssl_ptr state) : raw{std::move(under)}, ssl{std::move(state)} {}
};

/// What moves its bytes.
std::unique_ptr<byte_transport> make_transport(socket from);

/// The handshake of `state` on `under`, in either role, before `deadline`. Fails with timed_out, closed, reset or tls,
/// and the detail says why for people, in our words where the other side's certificate was the reason.
/// `from` is whom the failure is blamed on.
boost::asio::awaitable<result<socket>> shake_hands(stream_socket under, ssl_ptr state, time_point deadline,
                                                   failure_source from);

}  // namespace buildkit_lb::tls
