#pragma once

#include <boost/asio/awaitable.hpp>

#include "core/socket.hpp"
#include "proxy/proxy_header.hpp"

namespace buildkit_lb::proxy {

/// Takes the PROXY header off the front of what a proxy sends, and not one byte more. Fails with timed_out after
/// `deadline`, with protocol when what comes is no header, with closed or reset; the detail is for people.
boost::asio::awaitable<result<proxy_header>> receive_proxy_header(stream_socket& from, time_point deadline);

}  // namespace buildkit_lb::proxy
