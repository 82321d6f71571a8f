#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/failure.hpp"
#include "core/resolve.hpp"

namespace buildkit_lb {

/// What LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES say to the process `own_pid`: the names of the passed descriptors, in
/// order; none when they are for another process. A complaint says what is wrong with them. Pure.
checked<std::vector<std::string>> read_listen_environment(std::string_view pid, std::string_view count,
                                                          std::string_view names, int own_pid);

/// True when a socket bound to `bound` takes the connections to `wanted`: the same address, or with `dual_stack` the
/// IPv6 wildcard for the IPv4 one. Pure.
bool takes_connections_to(const socket_address& bound, bool dual_stack, const socket_address& wanted);

/// Listening sockets that the service manager has opened and keeps over restarts of this process (socket activation,
/// sd_listen_fds(3)): whoever runs at the moment accepts from them, so a replacement loses no connection.
///
/// Made once, at the start, before there are threads; used by the control thread. Keeps its descriptors open for as
/// long as it lives: a listener that a reload takes out may come back.
class passed_sockets {
public:
    struct passed {
        int fd = -1;
        std::string name;
    };

    passed_sockets() = default;
    /// Takes the descriptors over. What is no listening stream socket is logged and closed.
    explicit passed_sockets(std::vector<passed> given);
    passed_sockets(passed_sockets&& other) noexcept;
    passed_sockets& operator=(passed_sockets&&) = delete;
    ~passed_sockets();

    /// Those that the environment says are for this process. Removes that from the environment.
    static passed_sockets from_environment();

    /// A descriptor of the socket that listens on `where`, which the caller closes; nullopt when there is none.
    std::optional<int> find(const socket_address& where);

    /// Logs those that nobody has asked for yet.
    void report_unused() const;

private:
    struct socket {
        int fd = -1;
        std::string name;
        socket_address address;
        bool dual_stack = false;
        bool used = false;
    };

    std::vector<socket> sockets_;
};

}  // namespace buildkit_lb
