#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/system/error_code.hpp>
#include <cstddef>
#include <memory>
#include <span>

#include "core/buffer.hpp"

namespace buildkit_lb::http2 {

/// Moves bytes for a connection without ever blocking: the seam where TLS comes in. Owned by its connection, used by
/// the connection's thread. One virtual call for each system call.
class byte_transport {
public:
    struct outcome {
        boost::system::error_code error;  ///< would_block: wait first
        std::size_t bytes = 0;            ///< reading: 0 without an error is the end of the stream
    };

    virtual ~byte_transport() = default;

    virtual outcome read(std::span<std::byte> into) = 0;
    /// Writes the slices in order, maybe not all of them.
    virtual outcome write(std::span<const buffer_slice> slices) = 0;
    virtual boost::asio::awaitable<boost::system::error_code> wait_readable() = 0;
    virtual boost::asio::awaitable<boost::system::error_code> wait_writable() = 0;
    virtual boost::asio::any_io_executor executor() = 0;
    /// No more writing: FIN.
    virtual void shutdown_write() = 0;
    /// Ends pending waits with an error.
    virtual void close() = 0;
};

/// A TCP or unix socket in the clear.
std::unique_ptr<byte_transport> make_socket_transport(boost::asio::generic::stream_protocol::socket socket);

}  // namespace buildkit_lb::http2
