#include "core/service_manager.hpp"

#include <array>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "support/ports.hpp"

using namespace buildkit_lb;
using namespace std::chrono_literals;

namespace {

/// The receiving end. `name` as in NOTIFY_SOCKET.
class notify_socket {
public:
    explicit notify_socket(const std::string& name) : fd_{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)}
    {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        name.copy(&address.sun_path[0], name.size());
        if (name.front() == '@') {
            address.sun_path[0] = '\0';
        }
        REQUIRE(::bind(fd_, reinterpret_cast<const sockaddr*>(&address),
                       static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size())) == 0);
    }
    notify_socket(const notify_socket&) = delete;
    notify_socket& operator=(const notify_socket&) = delete;
    ~notify_socket() { ::close(fd_); }

    /// The next message; empty: there is none.
    std::string next() const
    {
        std::array<char, 1024> text{};
        const auto got = ::recv(fd_, text.data(), text.size(), MSG_DONTWAIT);
        return got < 0 ? "" : std::string{text.data(), static_cast<std::size_t>(got)};
    }

private:
    int fd_;
};

}  // namespace

TEST_CASE("the service manager is told what the process does")
{
    const test::temporary_directory directory;
    std::string name = directory.file("notify");
    SECTION("a path") {}
    SECTION("an abstract name")
    {
        name = "@buildkit-lb-test-" + std::to_string(::getpid());
    }
    const notify_socket receiver{name};
    service_manager manager{name};

    manager.ready();
    CHECK(receiver.next() == "READY=1");
    manager.reloading();
    CHECK_THAT(receiver.next(), Catch::Matches("RELOADING=1\nMONOTONIC_USEC=[1-9][0-9]*"));
    manager.stopping(90s);
    CHECK(receiver.next() == "STOPPING=1\nEXTEND_TIMEOUT_USEC=90000000");
    manager.status("3 builds run");
    manager.status("3 builds run");
    manager.status("2 builds run");
    CHECK(receiver.next() == "STATUS=3 builds run");
    CHECK(receiver.next() == "STATUS=2 builds run");
    CHECK(receiver.next().empty());
}

TEST_CASE("without a service manager, or with one that does not listen, nothing happens")
{
    const test::temporary_directory directory;
    service_manager{}.ready();
    service_manager{""}.status("x");
    service_manager{"vsock:2:1"}.ready();
    service_manager{std::string(200, '/')}.ready();
    service_manager{directory.file("nobody")}.ready();
}

TEST_CASE("the socket that the environment names is used once, and no child gets it")
{
    const test::temporary_directory directory;
    const auto name = directory.file("notify");
    const notify_socket receiver{name};
    ::setenv("NOTIFY_SOCKET", name.c_str(), 1);
    service_manager::from_environment().ready();
    CHECK(receiver.next() == "READY=1");
    CHECK(std::getenv("NOTIFY_SOCKET") == nullptr);
}
