#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/system/error_code.hpp>
#include <cstddef>
#include <memory>
#include <span>

#include "core/buffer.hpp"

namespace buildkit_lb {

/// Moves bytes for a connection without ever blocking: the seam where TLS comes in. Owned by its connection, used by
/// the connection's thread. One virtual call for each system call.
class byte_transport {
public:
    struct outcome {
        boost::system::error_code error;  ///< would_block: wait first
        std::size_t bytes = 0;            ///< reading: 0 without an error is the end of the stream
        bool drained = false;             ///< reading: more would only say would_block
    };
    /// What to call when a wait is over; operation_aborted after close(). The context lives until then.
    struct callback {
        void (*call)(void* context, const boost::system::error_code& error);
        void* context;
    };

    virtual ~byte_transport() = default;

    virtual outcome read(std::span<std::byte> into) = 0;
    /// Writes the slices in order, maybe not all of them.
    virtual outcome write(std::span<const buffer_slice> slices) = 0;
    /// At most one wait of each kind at a time.
    virtual void wait_readable(callback done) = 0;
    virtual void wait_writable(callback done) = 0;
    virtual boost::asio::any_io_executor executor() = 0;
    /// Nothing more will be written: FIN.
    virtual void shutdown_write() = 0;
    virtual void close() = 0;
};

/// A TCP or unix socket in the clear.
std::unique_ptr<byte_transport> make_socket_transport(boost::asio::generic::stream_protocol::socket socket);

}  // namespace buildkit_lb
