#include "core/listening_socket.hpp"

#include <boost/asio/io_context.hpp>
#include <catch2/catch.hpp>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/peer.hpp"
#include "support/ports.hpp"

using namespace buildkit_lb;
using namespace buildkit_lb::test;
namespace fs = std::filesystem;

namespace {

/// Sockets on one address, as of several processes.
struct sockets {
    explicit sockets(endpoint where) : address{std::move(where)} {}

    std::unique_ptr<listening_socket> add()
    {
        auto made = std::make_unique<listening_socket>(context.get_executor(), address);
        made->listen(64);
        if (address.type == endpoint::kind::tcp && address.port == 0) {
            address = parse_endpoint("tcp://" + made->local_address()).value();
        }
        return made;
    }

    boost::asio::io_context context;
    endpoint address;
};

/// How many connections wait to be accepted; takes them.
int take_all(listening_socket& from, int at_least = 0)
{
    int taken = 0;
    for (;;) {
        pollfd waiting{from.acceptor().native_handle(), POLLIN, 0};
        ::poll(&waiting, 1, taken < at_least ? 10'000 : 0);
        const int fd = ::accept4(waiting.fd, nullptr, nullptr, SOCK_CLOEXEC);
        if (fd < 0) {
            return taken;
        }
        ::close(fd);
        ++taken;
    }
}

/// Connects twenty times: by its hash the kernel would send some of them elsewhere.
std::vector<peer> connect_many(const endpoint& where)
{
    std::vector<peer> clients;
    for (int i = 0; i < 20; ++i) {
        clients.emplace_back(where);
        REQUIRE(clients.back().connected());
    }
    return clients;
}

/// Another program that listens on a unix socket for as long as this lives.
class other_program {
public:
    explicit other_program(const std::string& path)
    {
        int ready[2];
        REQUIRE(::pipe(ready) == 0);
        pid_ = ::fork();
        REQUIRE(pid_ >= 0);
        if (pid_ == 0) {
            ::prctl(PR_SET_NAME, "somebody-else");
            const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
            const auto where = *numeric_address(unix_at(path));
            const bool good = ::bind(fd, where.data(), static_cast<socklen_t>(where.size())) == 0 &&
                              ::listen(fd, 8) == 0 && ::write(ready[1], "x", 1) == 1;
            ::pause();
            ::_exit(good ? 0 : 1);
        }
        char byte = 0;
        REQUIRE(::read(ready[0], &byte, 1) == 1);
        ::close(ready[0]);
        ::close(ready[1]);
    }
    other_program(const other_program&) = delete;
    other_program& operator=(const other_program&) = delete;
    ~other_program()
    {
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
    }

private:
    pid_t pid_ = -1;
};

}  // namespace

TEST_CASE("the socket that listens last gets every new connection, however often that happens")
{
    sockets group{tcp_at("127.0.0.1")};
    auto before = group.add();
    for (int i = 0; i < 4; ++i) {
        auto next = group.add();
        const auto clients = connect_many(group.address);
        CHECK(take_all(*next, 20) == 20);
        CHECK(take_all(*before) == 0);
        CHECK(before->give_way() == successor::another_socket);
        before->close();
        before = std::move(next);
    }
    CHECK(before->give_way() == successor::nobody);
}

TEST_CASE("a new socket that ends first gives new connections back to the old one, before it closes")
{
    sockets group{tcp_at("127.0.0.1")};
    auto old = group.add();
    auto tried = group.add();
    auto earlier = connect_many(group.address);

    CHECK(tried->give_way() == successor::another_socket);
    const auto clients = connect_many(group.address);
    CHECK(take_all(*tried, 20) == 20);
    CHECK(take_all(*old, 20) == 20);
    tried->close();
    const auto later = connect_many(group.address);
    CHECK(take_all(*old, 20) == 20);
    CHECK(old->give_way() == successor::nobody);
}

TEST_CASE("IPv6 is taken over too")
{
    sockets group{tcp_at("::1")};
    std::unique_ptr<listening_socket> old;
    try {
        old = group.add();
    } catch (const std::runtime_error& e) {
        WARN("no IPv6 on this machine: " << e.what());
        return;
    }
    auto next = group.add();
    const auto clients = connect_many(group.address);
    CHECK(take_all(*next, 20) == 20);
    CHECK(old->give_way() == successor::another_socket);
}

TEST_CASE("a port that is bound and not listened on yet takes nothing from its owner")
{
    sockets group{tcp_at("127.0.0.1")};
    auto old = group.add();
    listening_socket late{group.context.get_executor(), group.address};
    const auto clients = connect_many(group.address);
    CHECK(take_all(*old, 20) == 20);
    CHECK(old->give_way() == successor::nobody);
}

TEST_CASE("a unix socket is taken over by name, and its file stays with who has it last")
{
    const temporary_directory directory;
    sockets group{unix_at(directory.file("lb.sock"))};
    auto old = group.add();
    const auto early = connect_many(group.address);

    auto next = group.add();
    const auto late = connect_many(group.address);
    CHECK(take_all(*old, 20) == 22);  // with two looks at who is there
    CHECK(take_all(*next, 20) == 20);
    CHECK(old->give_way() == successor::another_socket);
    old->close();
    CHECK(peer{group.address}.connected());
    CHECK(next->give_way() == successor::nobody);
    next->close();
    CHECK(fs::is_empty(fs::path{group.address.path}.parent_path()));
}

TEST_CASE("a socket file is replaced when nobody listens there, and is nobody else's")
{
    const temporary_directory directory;
    sockets group{unix_at(directory.file("lb.sock"))};
    const std::string in_use = group.address.to_string() +
                               ": Address already in use; another program listens there: stop it or choose another "
                               "address";
    SECTION("left behind")
    {
        ::close(listen_plainly(group.address.path));
        REQUIRE(fs::exists(group.address.path));
        CHECK(group.add()->is_open());
    }
    SECTION("another program's")
    {
        const other_program there{group.address.path};
        CHECK_THROWS_WITH(group.add(), in_use);
        CHECK(peer{group.address}.connected());
    }
    SECTION("no socket")
    {
        std::ofstream{group.address.path} << "precious";
        CHECK_THROWS_WITH(group.add(), in_use);
        CHECK(fs::file_size(group.address.path) == 8);
    }
    SECTION("a path that is too long")
    {
        group.address.path = directory.file(std::string(104 - directory.file("").size(), 'x').c_str());
        CHECK_THROWS_WITH(group.add(), Catch::Contains("choose a shorter path"));
    }
}

TEST_CASE("a socket of the service manager is used, not removed, and keeps those that wait")
{
    const temporary_directory directory;
    boost::asio::io_context context;
    auto where = tcp_at("127.0.0.1");
    std::optional<open_port> port;
    int fd = -1;
    SECTION("TCP")
    {
        port.emplace(context);
        where.port = port->number();
        fd = ::dup(port->descriptor());
    }
    SECTION("unix")
    {
        where = unix_at(directory.file("lb.sock"));
        fd = listen_plainly(where.path);
    }
    passed_sockets passed{{{fd, "builds"}, {::dup(0), "nothing"}}};
    {
        listening_socket first{context.get_executor(), where, &passed};
        first.listen(64);
        const peer client{where};
        CHECK(take_all(first, 1) == 1);
        CHECK(first.give_way() == successor::service_manager);
    }
    const peer waiting{where};
    REQUIRE(waiting.connected());
    listening_socket second{context.get_executor(), where, &passed};
    CHECK(take_all(second, 1) == 1);
}
