#include "support/peer.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdexcept>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include "core/resolve.hpp"

namespace buildkit_lb::test {
namespace {

/// Waits for `events`; what of them came, or 0.
short wait_for(int fd, short events, duration at_most)
{
    pollfd wanted{fd, events, 0};
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(at_most).count();
    return ::poll(&wanted, 1, static_cast<int>(ms)) > 0 ? wanted.revents : short{0};
}

int open_socket(const endpoint& where, std::optional<int> receive_buffer)
{
    const auto address = numeric_address(where);
    const int fd = address ? ::socket(address->data()->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0) : -1;
    if (fd >= 0 && receive_buffer) {
        ::setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &*receive_buffer, sizeof *receive_buffer);
    }
    return fd;
}

}  // namespace

peer::peer(const endpoint& where, std::optional<int> receive_buffer) : fd_{open_socket(where, receive_buffer)}
{
    const auto address = numeric_address(where);
    if (fd_ >= 0 && ::connect(fd_, address->data(), static_cast<socklen_t>(address->size())) != 0) {
        close();
    }
}

peer::peer(peer&& other) noexcept : fd_{std::exchange(other.fd_, -1)} {}

peer& peer::operator=(peer&& other) noexcept
{
    std::swap(fd_, other.fd_);
    return *this;
}

peer::~peer()
{
    close();
}

bool peer::send(std::string_view bytes)
{
    while (!bytes.empty()) {
        if (wait_for(fd_, POLLOUT, patience) == 0) {
            return false;
        }
        const auto sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno != EAGAIN) {
            return false;
        }
        bytes.remove_prefix(sent > 0 ? static_cast<std::size_t>(sent) : 0);
    }
    return true;
}

std::size_t peer::send_until_stuck(std::size_t limit, char byte)
{
    const std::vector<char> chunk(16 * 1024, byte);
    std::size_t total = 0;
    while (total < limit && (wait_for(fd_, POLLOUT, 3 * moment) & POLLOUT) != 0) {
        const auto sent = ::send(fd_, chunk.data(), std::min(chunk.size(), limit - total), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno != EAGAIN) {
            break;
        }
        total += sent > 0 ? static_cast<std::size_t>(sent) : 0;
    }
    return total;
}

std::string peer::receive(std::size_t count)
{
    std::string all(count, '\0');
    std::size_t got = 0;
    while (got < count && wait_for(fd_, POLLIN, patience) != 0) {
        const auto n = ::recv(fd_, all.data() + got, count - got, MSG_DONTWAIT);
        if (n <= 0) {
            break;
        }
        got += static_cast<std::size_t>(n);
    }
    all.resize(got);
    return all;
}

std::size_t peer::drain(std::size_t limit)
{
    std::vector<char> chunk(64 * 1024);
    std::size_t total = 0;
    while (total < limit && wait_for(fd_, POLLIN, patience) != 0) {
        const auto n = ::recv(fd_, chunk.data(), std::min(chunk.size(), limit - total), MSG_DONTWAIT);
        if (n <= 0) {
            break;
        }
        total += static_cast<std::size_t>(n);
    }
    return total;
}

bool peer::silent(duration how_long) const
{
    return wait_for(fd_, POLLIN, how_long) == 0;
}

peer::ending peer::wait_for_end(duration at_most)
{
    std::array<char, 4096> dropped{};
    const auto deadline = clock::now() + at_most;
    while (clock::now() < deadline) {
        if (wait_for(fd_, POLLIN, deadline - clock::now()) == 0) {
            continue;
        }
        const auto n = ::recv(fd_, dropped.data(), dropped.size(), MSG_DONTWAIT);
        if (n == 0) {
            return ending::closed;
        }
        if (n < 0 && errno != EAGAIN) {
            return errno == ECONNRESET || errno == EPIPE ? ending::reset : ending::none;
        }
    }
    return ending::none;
}

bool peer::wait_for_reset_without_reading(duration at_most) const
{
    return (wait_for(fd_, 0, at_most) & (POLLERR | POLLHUP)) != 0;
}

void peer::half_close()
{
    ::shutdown(fd_, SHUT_WR);
}

void peer::reset()
{
    const linger now{1, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close();
}

void peer::close()
{
    if (fd_ >= 0) {
        ::close(std::exchange(fd_, -1));
    }
}

worker_port::worker_port() : worker_port{tcp_at("127.0.0.1")} {}

worker_port::worker_port(const endpoint& where, std::optional<int> receive_buffer)
    : fd_{open_socket(where, receive_buffer)}, address_{where}
{
    const auto address = numeric_address(where);
    if (fd_ < 0 || ::bind(fd_, address->data(), static_cast<socklen_t>(address->size())) != 0 ||
        ::listen(fd_, 512) != 0) {
        throw std::runtime_error(where.to_string() + ": " + std::strerror(errno));
    }
    if (where.type == endpoint::kind::tcp) {
        sockaddr_storage bound{};
        socklen_t size = sizeof bound;
        ::getsockname(fd_, reinterpret_cast<sockaddr*>(&bound), &size);
        // The port stands at the same place in both families.
        address_.port = ntohs(reinterpret_cast<const sockaddr_in*>(&bound)->sin_port);
    }
}

worker_port::~worker_port()
{
    ::close(fd_);
}

peer worker_port::accept(duration at_most)
{
    return peer{wait_for(fd_, POLLIN, at_most) != 0 ? ::accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC) : -1};
}

endpoint tcp_at(const std::string& host, std::uint16_t port)
{
    endpoint e;
    e.host = host;
    e.port = port;
    return e;
}

endpoint unix_at(const std::string& path)
{
    endpoint e;
    e.type = endpoint::kind::unix_socket;
    e.path = path;
    return e;
}

}  // namespace buildkit_lb::test
