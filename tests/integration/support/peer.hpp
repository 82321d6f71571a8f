#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "core/endpoint.hpp"
#include "support/wait.hpp"

/// Scripted peers of a byte relay: a client or a worker that does exactly what a test says, one blocking step after the
/// other. Whatever a real one may do wrong, a test can do here: stall, reset, half-close, refuse.
namespace buildkit_lb::test {

/// One end of a connection, TCP or unix.
class peer {
public:
    enum class ending { none, closed, reset };

    /// Connects; check connected().
    explicit peer(const endpoint& where, std::optional<int> receive_buffer = std::nullopt);
    /// Takes an open socket over.
    explicit peer(int fd) : fd_{fd} {}
    peer(peer&& other) noexcept;
    peer& operator=(peer&& other) noexcept;
    ~peer();

    bool connected() const { return fd_ >= 0; }

    /// Sends all of it; false when that is not possible.
    bool send(std::string_view bytes);
    /// Sends until nothing has been taken for a moment, or `limit` is reached; how many bytes were taken.
    std::size_t send_until_stuck(std::size_t limit, char byte = 'x');

    /// The next `count` bytes; fewer when the connection ends or they don't come.
    std::string receive(std::size_t count);
    /// Reads and counts until the connection ends, at most `limit` bytes.
    std::size_t drain(std::size_t limit);
    /// True when nothing comes, not even the end, for a moment.
    bool silent(duration how_long = moment) const;
    /// How the connection ends, after whatever still comes.
    ending wait_for_end(duration at_most = patience);
    /// How it ends when nothing is read: `reset` comes even to those who don't read. For peers that stall.
    bool wait_for_reset_without_reading(duration at_most = patience) const;

    /// Says that this side will send nothing more.
    void half_close();
    /// Ends with RST.
    void reset();
    void close();

private:
    int fd_ = -1;
};

/// An address on which a test accepts connections one by one.
class worker_port {
public:
    /// 127.0.0.1 or the address given, any port; or a unix socket.
    worker_port();
    explicit worker_port(const endpoint& where, std::optional<int> receive_buffer = std::nullopt);
    worker_port(const worker_port&) = delete;
    worker_port& operator=(const worker_port&) = delete;
    ~worker_port();

    endpoint address() const { return address_; }

    /// The next connection. A peer that is not connected() when none comes.
    peer accept(duration at_most = patience);

private:
    int fd_ = -1;
    endpoint address_;
};

endpoint tcp_at(const std::string& host, std::uint16_t port = 0);
endpoint unix_at(const std::string& path);

}  // namespace buildkit_lb::test
