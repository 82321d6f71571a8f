#include <algorithm>
#include <array>
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <cstring>
#include <openssl/err.h>
#include <utility>

#include "tls/handshake.hpp"

namespace buildkit_lb::tls {
namespace {

namespace asio = boost::asio;
using io_error = boost::system::error_code;

/// What one TLS record holds.
constexpr std::size_t record_size = 16384;

class tls_transport final : public byte_transport {
public:
    explicit tls_transport(socket from) : socket_{std::move(from.raw)}, ssl_{std::move(from.ssl)} {}

    outcome read(std::span<std::byte> into) override
    {
        ERR_clear_error();
        errno = 0;
        std::size_t got = 0;
        if (SSL_read_ex(ssl_.get(), into.data(), into.size(), &got) == 1) {
            return {{}, got, false};
        }
        return refused(reading_waits_for_);
    }

    /// Record by record: small slices share one, which is copied; what fills a record by itself is not.
    outcome write(std::span<const buffer_slice> slices) override
    {
        std::size_t total = 0;
        std::size_t skip = 0;  // bytes of the first slice that are sent
        while (!slices.empty()) {
            const std::byte* from = slices.front().data() + skip;
            std::size_t size = slices.front().size() - skip;
            if (size < record_size && slices.size() > 1) {
                std::tie(from, size) = gather(slices, skip);
            }
            ERR_clear_error();
            errno = 0;
            std::size_t wrote = 0;
            if (SSL_write_ex(ssl_.get(), from, std::min(size, record_size), &wrote) != 1) {
                outcome end = refused(writing_waits_for_);
                // What has been sent counts first; the next call meets the same end again.
                return total != 0 ? outcome{{}, total, false} : end;
            }
            total += wrote;
            for (skip += wrote; !slices.empty() && skip >= slices.front().size(); slices = slices.subspan(1)) {
                skip -= slices.front().size();
            }
        }
        return {{}, total, false};
    }

    void wait_readable(callback done) override
    {
        // What OpenSSL has already decrypted makes no socket readable.
        if (SSL_pending(ssl_.get()) > 0) {
            asio::post(socket_.get_executor(), [this, done] {
                done.call(done.context, socket_.is_open() ? io_error{} : asio::error::operation_aborted);
            });
            return;
        }
        wait(std::exchange(reading_waits_for_, stream_socket::wait_read), done);
    }

    void wait_writable(callback done) override
    {
        wait(std::exchange(writing_waits_for_, stream_socket::wait_write), done);
    }

    asio::any_io_executor executor() override { return socket_.get_executor(); }

    void shutdown_write() override
    {
        ERR_clear_error();
        SSL_shutdown(ssl_.get());  // best effort: FIN follows in any case
        io_error ignored;
        socket_.shutdown(asio::socket_base::shutdown_send, ignored);
    }

    void close() override
    {
        io_error ignored;
        socket_.close(ignored);
    }

private:
    void wait(stream_socket::wait_type what, callback done)
    {
        socket_.async_wait(what, [done](const io_error& error) { done.call(done.context, error); });
    }

    /// What the last call of OpenSSL's means that did not do its work.
    outcome refused(stream_socket::wait_type& waits_for)
    {
        const int system_error = errno;
        switch (SSL_get_error(ssl_.get(), 0)) {
            case SSL_ERROR_WANT_READ: waits_for = stream_socket::wait_read; return {asio::error::would_block, 0, true};
            case SSL_ERROR_WANT_WRITE:
                waits_for = stream_socket::wait_write;
                return {asio::error::would_block, 0, true};
            case SSL_ERROR_ZERO_RETURN: return {{}, 0, true};
            case SSL_ERROR_SYSCALL:
                if (system_error != 0) {
                    return {{system_error, boost::system::system_category()}, 0, true};
                }
                return {{}, 0, true};
            default: ERR_clear_error(); return {asio::error::connection_reset, 0, true};
        }
    }

    /// The next slices in one piece, up to a record.
    static std::pair<const std::byte*, std::size_t> gather(std::span<const buffer_slice> slices, std::size_t skip)
    {
        // Of the thread: OpenSSL has encrypted it before anybody else gets a turn.
        static thread_local std::array<std::byte, record_size> record;
        std::size_t used = 0;
        for (const auto& slice : slices) {
            const std::size_t size = std::min(slice.size() - skip, record_size - used);
            std::memcpy(record.data() + used, slice.data() + skip, size);
            used += size;
            skip = 0;
            if (used == record_size) {
                break;
            }
        }
        return {record.data(), used};
    }

    stream_socket socket_;
    ssl_ptr ssl_;  // goes before the socket
    // A key update lets reading wait for room to write, and the other way round.
    stream_socket::wait_type reading_waits_for_ = stream_socket::wait_read;
    stream_socket::wait_type writing_waits_for_ = stream_socket::wait_write;
};

}  // namespace

std::unique_ptr<byte_transport> make_transport(socket from)
{
    if (!from.ssl) {
        return make_socket_transport(std::move(from.raw));
    }
    return std::make_unique<tls_transport>(std::move(from));
}

}  // namespace buildkit_lb::tls
