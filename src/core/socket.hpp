#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/system/error_code.hpp>
#include <optional>
#include <string>

#include "core/endpoint.hpp"
#include "core/failure.hpp"
#include "core/ip_address.hpp"
#include "core/types.hpp"

namespace buildkit_lb {

/// A connected TCP or unix socket.
using stream_socket = boost::asio::generic::stream_protocol::socket;

/// What the operating system's error means on the data path; end of file is `closed`.
errc classify(const boost::system::error_code& error);

/// Sets on a TCP socket what both sides of the balancer use: no Nagle delay, keepalive (first after 60 s of silence,
/// every 15 s, 4 times) and a 60 s limit on unacknowledged data, so that a dead peer is noticed within two minutes.
/// For accepted and for connecting sockets. Best effort: does nothing on a unix socket.
void set_tcp_options(int fd);

/// The other side of a TCP connection; nullopt for a unix socket or a dead connection.
std::optional<ip_endpoint> remote_of(const stream_socket& socket);
/// Our side of it.
std::optional<ip_endpoint> local_of(const stream_socket& socket);

/// The address of the other side of a TCP connection, without its port; empty for a unix socket or a dead connection.
std::string peer_host(const stream_socket& socket);

/// Waits until the socket can be read or written (`what`), or until `deadline` (timed_out). operation_aborted when the
/// coroutine was cancelled, also before.
boost::asio::awaitable<boost::system::error_code> wait_ready(stream_socket& socket, stream_socket::wait_type what,
                                                             time_point deadline);

/// Connects to `where`: looks its name up if it has one and tries its addresses in order, all before `timeout` has
/// passed (an address that does not answer leaves the later ones their share of the time).
/// `executor` is the calling coroutine's and becomes the socket's; `where` outlives the call. Never throws for what a
/// network does: fails with refused, unreachable, timed_out, reset, resolve_failed, too_many (out of file
/// descriptors) or canceled, and the detail names the address.
boost::asio::awaitable<result<stream_socket>> connect(boost::asio::any_io_executor executor, const endpoint& where,
                                                      duration timeout);

}  // namespace buildkit_lb
