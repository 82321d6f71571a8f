#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/generic/stream_protocol.hpp>

#include "core/endpoint.hpp"

namespace buildkit_lb {

/// A listening TCP or unix socket.
using stream_acceptor = boost::asio::basic_socket_acceptor<boost::asio::generic::stream_protocol>;

/// Binds `address` and listens on it, non-blocking. A port on which another process of the same user listens by means
/// of this function is shared with it (and a warning logged): that is how a new process takes over from one that is
/// about to stop. A socket file left behind by a killed process is replaced; one that is in use is not. Blocks while a
/// name is looked up: for start-up only. Throws std::runtime_error whose text is `ADDRESS: why; what to do about it`.
stream_acceptor listen_on(boost::asio::any_io_executor executor, const endpoint& address, int backlog);

/// Closes it, and removes its socket file if `address` is one. Does nothing when it is closed already.
void stop_listening(stream_acceptor& on, const endpoint& address);

}  // namespace buildkit_lb
