#include "core/service_manager.hpp"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <utility>

#include "core/log.hpp"

namespace buildkit_lb {
namespace {

using std::chrono::microseconds;

std::string address_of(std::string_view where)
{
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::copy(where.begin(), where.end(), &address.sun_path[0]);
    if (where.front() == '@') {
        address.sun_path[0] = '\0';
    }
    return {reinterpret_cast<const char*>(&address), offsetof(sockaddr_un, sun_path) + where.size()};
}

microseconds monotonic_now()
{
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    return std::chrono::duration_cast<microseconds>(std::chrono::seconds{now.tv_sec} +
                                                    std::chrono::nanoseconds{now.tv_nsec});
}

}  // namespace

service_manager::service_manager(std::string_view where)
{
    if (where.empty()) {
        return;
    }
    if ((where.front() != '/' && where.front() != '@') || where.size() >= sizeof(sockaddr_un::sun_path)) {
        log::warn("the service manager can't be told anything: NOTIFY_SOCKET is no path of a socket",
                  {{"notify_socket", where}});
        return;
    }
    address_ = address_of(where);
    fd_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

service_manager::service_manager(service_manager&& other) noexcept
    : address_{std::move(other.address_)}, fd_{std::exchange(other.fd_, -1)}, status_{std::move(other.status_)}
{
}

service_manager::~service_manager()
{
    if (fd_ >= 0) {
        ::close(fd_);
    }
}

service_manager service_manager::from_environment()
{
    constexpr const char* name = "NOTIFY_SOCKET";
    const char* given = std::getenv(name);
    const std::string where{given == nullptr ? "" : given};
    ::unsetenv(name);
    return service_manager{where};
}

void service_manager::ready()
{
    send("READY=1");
}

void service_manager::reloading()
{
    send("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(monotonic_now().count()));
}

void service_manager::stopping(duration at_most)
{
    send("STOPPING=1\nEXTEND_TIMEOUT_USEC=" +
         std::to_string(std::chrono::duration_cast<microseconds>(at_most).count()));
}

void service_manager::status(const std::string& line)
{
    if (fd_ >= 0 && std::exchange(status_, line) != line) {
        send("STATUS=" + line);
    }
}

void service_manager::send(const std::string& message)
{
    if (fd_ < 0) {
        return;
    }
    const auto sent =
        ::sendto(fd_, message.data(), message.size(), MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(address_.data()),
                 static_cast<socklen_t>(address_.size()));
    if (sent < 0) {
        log::warn("the service manager could not be told",
                  {{"message", message.substr(0, message.find('\n'))}, {"error", std::strerror(errno)}});
    }
}

}  // namespace buildkit_lb
