#include "core/transport.hpp"

#include <algorithm>
#include <array>
#include <boost/asio/error.hpp>
#include <cerrno>
#include <sys/socket.h>
#include <sys/uio.h>

namespace buildkit_lb {
namespace {

namespace asio = boost::asio;
using io_error = boost::system::error_code;

/// Pieces given to one sendmsg; the kernel takes up to 1024.
constexpr std::size_t most_pieces = 128;

io_error last_error()
{
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
        return asio::error::would_block;
    }
    return {errno, boost::system::system_category()};
}

class socket_transport final : public byte_transport {
public:
    explicit socket_transport(asio::generic::stream_protocol::socket socket) : socket_{std::move(socket)}
    {
        io_error ignored;  // a socket that is broken already says so when it is used
        socket_.native_non_blocking(true, ignored);
        fd_ = socket_.native_handle();
    }

    outcome read(std::span<std::byte> into) override
    {
        ssize_t got = 0;
        do {
            got = ::recv(fd_, into.data(), into.size(), 0);
        } while (got < 0 && errno == EINTR);
        if (got < 0) {
            return {last_error(), 0, true};
        }
        const auto bytes = static_cast<std::size_t>(got);
        return {{}, bytes, bytes < into.size()};
    }

    outcome write(std::span<const buffer_slice> slices) override
    {
        std::array<iovec, most_pieces> pieces;
        const std::size_t count = std::min(slices.size(), most_pieces);
        for (std::size_t i = 0; i < count; ++i) {
            // sendmsg only reads.
            pieces[i] = {const_cast<std::byte*>(slices[i].data()), slices[i].size()};
        }
        msghdr message{};
        message.msg_iov = pieces.data();
        message.msg_iovlen = count;
        ssize_t sent = 0;
        do {
            sent = ::sendmsg(fd_, &message, MSG_NOSIGNAL);
        } while (sent < 0 && errno == EINTR);
        if (sent < 0) {
            return {last_error(), 0, false};
        }
        return {{}, static_cast<std::size_t>(sent), false};
    }

    void wait_readable(callback done) override
    {
        socket_.async_wait(asio::socket_base::wait_read, [done](const io_error& e) { done.call(done.context, e); });
    }

    void wait_writable(callback done) override
    {
        socket_.async_wait(asio::socket_base::wait_write, [done](const io_error& e) { done.call(done.context, e); });
    }

    asio::any_io_executor executor() override { return socket_.get_executor(); }

    void shutdown_write() override
    {
        io_error ignored;
        socket_.shutdown(asio::socket_base::shutdown_send, ignored);
    }

    void close() override
    {
        io_error ignored;
        socket_.close(ignored);
        fd_ = -1;
    }

private:
    asio::generic::stream_protocol::socket socket_;
    int fd_ = -1;
};

}  // namespace

std::unique_ptr<byte_transport> make_socket_transport(asio::generic::stream_protocol::socket socket)
{
    return std::make_unique<socket_transport>(std::move(socket));
}

}  // namespace buildkit_lb
