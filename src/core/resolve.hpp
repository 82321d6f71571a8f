#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <optional>
#include <string>
#include <vector>

#include "core/endpoint.hpp"
#include "core/failure.hpp"
#include "core/types.hpp"

namespace buildkit_lb {

/// An address a socket can be bound or connected to: IPv4, IPv6 or unix.
using socket_address = boost::asio::generic::stream_protocol::endpoint;

/// `where` without any lookup: a unix path or a numeric address. nullopt when it is a name.
std::optional<socket_address> numeric_address(const endpoint& where);

/// Every address of `where`; names go through getaddrinfo on Asio's helper thread, everything else is answered at once.
/// Runs on the executor of the calling coroutine. `where` outlives the call.
/// Fails with resolve_failed, timed_out at `deadline` (the lookup itself cannot be interrupted; its late answer is
/// dropped) or canceled.
boost::asio::awaitable<result<std::vector<socket_address>>> resolve(const endpoint& where, time_point deadline);

/// The same, blocking the calling thread: for addresses that are bound at start.
result<std::vector<socket_address>> resolve_blocking(const endpoint& where);

/// `10.0.0.7:1234`, `[::1]:1234`, `/run/x.sock`, or `unix` for the unnamed end of a unix socket: for logs.
std::string to_string(const socket_address& address);

}  // namespace buildkit_lb
