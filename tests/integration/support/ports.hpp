#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <catch2/catch.hpp>
#include <cstdint>
#include <filesystem>
#include <stdlib.h>
#include <string>
#include <sys/socket.h>
#include <vector>

/// Loopback ports and paths that behave in the ways workers do, for tests of what connects to them.
namespace buildkit_lb::test {

/// A TCP port that listens with a full backlog and accepts nothing: the kernel leaves connects unanswered.
class hanging_port {
public:
    explicit hanging_port(boost::asio::io_context& context) : listening_{context}
    {
        using boost::asio::ip::tcp;
        listening_.open(tcp::v4());
        listening_.bind({boost::asio::ip::make_address("127.0.0.1"), 0});
        listening_.listen(0);
        const auto where = listening_.local_endpoint();
        for (int i = 0; i < 8; ++i) {
            auto& filler = fillers_.emplace_back(context);
            filler.open(tcp::v4());
            filler.native_non_blocking(true);
            // Asio's own connect would wait for the answer.
            ::connect(filler.native_handle(), where.data(), static_cast<socklen_t>(where.size()));
        }
    }
    std::uint16_t number() const { return listening_.local_endpoint().port(); }

private:
    boost::asio::ip::tcp::acceptor listening_;
    std::vector<boost::asio::ip::tcp::socket> fillers_;
};

/// A TCP port of 127.0.0.1 that refuses connects for as long as it lives: bound, so that nobody else gets it, but not
/// listening.
class closed_port {
public:
    explicit closed_port(boost::asio::io_context& context) : bound_{context}
    {
        bound_.open(boost::asio::ip::tcp::v4());
        bound_.bind({boost::asio::ip::make_address("127.0.0.1"), 0});
    }
    std::uint16_t number() const { return bound_.local_endpoint().port(); }

private:
    boost::asio::ip::tcp::acceptor bound_;
};

/// A TCP port of 127.0.0.1 that takes connections into its backlog.
class open_port {
public:
    explicit open_port(boost::asio::io_context& context, std::uint16_t number = 0)
        : listening_{context, {boost::asio::ip::make_address("127.0.0.1"), number}}
    {
    }
    std::uint16_t number() const { return listening_.local_endpoint().port(); }
    int descriptor() { return listening_.native_handle(); }

private:
    boost::asio::ip::tcp::acceptor listening_;
};

/// Listens on a unix socket as any program does, and returns the descriptor. The file stays.
inline int listen_plainly(const std::string& path)
{
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const boost::asio::local::stream_protocol::endpoint where{path};
    REQUIRE(::bind(fd, where.data(), static_cast<socklen_t>(where.size())) == 0);
    REQUIRE(::listen(fd, 64) == 0);
    return fd;
}

/// A directory for unix sockets, removed with everything in it.
class temporary_directory {
public:
    temporary_directory()
    {
        std::string name = std::filesystem::temp_directory_path() / "buildkit-lb-XXXXXX";
        REQUIRE(::mkdtemp(name.data()) != nullptr);
        path_ = name;
    }
    temporary_directory(const temporary_directory&) = delete;
    temporary_directory& operator=(const temporary_directory&) = delete;
    ~temporary_directory() { std::filesystem::remove_all(path_); }

    std::string file(const char* name) const { return path_ / name; }

private:
    std::filesystem::path path_;
};

}  // namespace buildkit_lb::test
