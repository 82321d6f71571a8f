#include "core/passed_sockets.hpp"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

#include "core/log.hpp"

namespace buildkit_lb {
namespace {

constexpr int first_passed = 3;

std::optional<int> number_in(std::string_view text)
{
    int value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc{} && end == text.data() + text.size() ? std::optional{value} : std::nullopt;
}

int option_of(int fd, int level, int name)
{
    int value = 0;
    socklen_t size = sizeof value;
    return ::getsockopt(fd, level, name, &value, &size) == 0 ? value : -1;
}

std::optional<socket_address> listening_address(int fd)
{
    socket_address address;
    auto size = static_cast<socklen_t>(address.capacity());
    if (option_of(fd, SOL_SOCKET, SO_ACCEPTCONN) != 1 || option_of(fd, SOL_SOCKET, SO_TYPE) != SOCK_STREAM ||
        ::getsockname(fd, address.data(), &size) != 0) {
        return std::nullopt;
    }
    address.resize(size);
    return address;
}

std::string_view text_of(const char* value)
{
    return value == nullptr ? std::string_view{} : value;
}

}  // namespace

checked<std::vector<std::string>> read_listen_environment(std::string_view pid, std::string_view count,
                                                          std::string_view names, int own_pid)
{
    std::vector<std::string> found;
    if (pid.empty() && count.empty()) {
        return found;
    }
    const auto to = number_in(pid);
    const auto many = number_in(count);
    constexpr int most = 1024;
    if (!to || !many || *many < 0 || *many > most) {
        return complaint{"LISTEN_PID=" + std::string{pid} + " and LISTEN_FDS=" + std::string{count} +
                         " are no process and no number of sockets"};
    }
    if (*to != own_pid) {
        return found;
    }
    for (int i = 0; i < *many; ++i) {
        const auto end = names.find(':');
        found.emplace_back(names.substr(0, end));
        names = end == std::string_view::npos ? std::string_view{} : names.substr(end + 1);
    }
    return found;
}

bool takes_connections_to(const socket_address& bound, bool dual_stack, const socket_address& wanted)
{
    // As texts: the kernel and we may count the end of a path differently.
    const std::string is = to_string(bound);
    const std::string asked = to_string(wanted);
    constexpr std::string_view every_v4 = "0.0.0.0";
    return is == asked || (dual_stack && asked.starts_with(every_v4) && is == "[::]" + asked.substr(every_v4.size()));
}

passed_sockets::passed_sockets(std::vector<passed> given)
{
    for (auto& one : given) {
        const auto address = listening_address(one.fd);
        if (!address) {
            log::warn("a passed descriptor is ignored: it is no listening stream socket",
                      {{"descriptor", one.fd}, {"name", one.name}});
            ::close(one.fd);
            continue;
        }
        const bool dual = address->data()->sa_family == AF_INET6 && option_of(one.fd, IPPROTO_IPV6, IPV6_V6ONLY) == 0;
        ::fcntl(one.fd, F_SETFD, FD_CLOEXEC);
        sockets_.push_back({one.fd, std::move(one.name), *address, dual, false});
    }
}

passed_sockets::passed_sockets(passed_sockets&& other) noexcept : sockets_{std::exchange(other.sockets_, {})} {}

passed_sockets::~passed_sockets()
{
    for (const auto& one : sockets_) {
        ::close(one.fd);
    }
}

passed_sockets passed_sockets::from_environment()
{
    const auto names = read_listen_environment(text_of(std::getenv("LISTEN_PID")), text_of(std::getenv("LISTEN_FDS")),
                                               text_of(std::getenv("LISTEN_FDNAMES")), ::getpid());
    std::vector<passed> given;
    if (!names) {
        log::warn("sockets of the service manager are ignored", {{"error", names.error().text}});
    } else {
        for (const auto& name : *names) {
            given.push_back({first_passed + static_cast<int>(given.size()), name});
        }
    }
    for (const char* name : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}) {
        ::unsetenv(name);
    }
    return passed_sockets{std::move(given)};
}

std::optional<int> passed_sockets::find(const socket_address& where)
{
    for (auto& one : sockets_) {
        if (takes_connections_to(one.address, one.dual_stack, where)) {
            const int copy = ::fcntl(one.fd, F_DUPFD_CLOEXEC, first_passed);
            if (copy >= 0) {
                one.used = true;
                return copy;
            }
        }
    }
    return std::nullopt;
}

void passed_sockets::report_unused() const
{
    for (const auto& one : sockets_) {
        if (!one.used) {
            log::warn("nothing is configured for a socket of the service manager: its clients wait in vain",
                      {{"address", to_string(one.address)},
                       {"name", one.name},
                       {"remedy", "give a listener this address, or take it out of the socket unit"}});
        }
    }
}

}  // namespace buildkit_lb
