#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "core/types.hpp"

namespace buildkit_lb {

/// Tells the service manager how the process does, by datagrams to the socket that NOTIFY_SOCKET names: the protocol of
/// sd_notify(3), which is stable and small enough to need no library. Without that variable, or when nobody receives,
/// nothing happens.
///
/// Made once at the start, before there are threads; used by the control thread. Never blocks.
class service_manager {
public:
    /// Talks to nobody.
    service_manager() = default;
    /// `where`: a path, or an abstract name that begins with `@`. Empty: nobody.
    explicit service_manager(std::string_view where);
    service_manager(service_manager&& other) noexcept;
    service_manager& operator=(service_manager&&) = delete;
    ~service_manager();

    /// The one that the environment names. Removes that from the environment.
    static service_manager from_environment();

    /// It serves; also after a reload.
    void ready();
    /// It has begun to read its configuration again: ready() follows.
    void reloading();
    /// It has begun to stop, and may take so long: a shorter TimeoutStopSec is extended.
    void stopping(duration at_most);
    /// One line for people, shown by `systemctl status`. What has not changed is not sent again.
    void status(const std::string& line);

private:
    void send(const std::string& message);

    std::string address_;  // a sockaddr_un without the bytes that follow the name
    int fd_ = -1;
    std::string status_;
};

}  // namespace buildkit_lb
