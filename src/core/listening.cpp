#include "core/listening.hpp"

#include <boost/asio/error.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <cerrno>
#include <stdexcept>
#include <string>
#include <sys/socket.h>
#include <unistd.h>

#include "core/log.hpp"
#include "core/resolve.hpp"

namespace buildkit_lb {

namespace asio = boost::asio;

namespace {

void remove_stale_socket(const std::string& path)
{
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return;
    }
    const asio::local::stream_protocol::endpoint where{path};
    if (::connect(fd, where.data(), static_cast<socklen_t>(where.size())) != 0 && errno == ECONNREFUSED) {
        ::unlink(path.c_str());
    }
    ::close(fd);
}

using reuse_port = asio::detail::socket_option::boolean<SOL_SOCKET, SO_REUSEPORT>;

/// A new process takes the port over from one of the same user that still listens (which then stops): both share it
/// meanwhile. Whoever meets nobody still allows that, from after its bind on: so that the second one knows.
void bind_or_share(stream_acceptor& acceptor, const socket_address& where, const endpoint& address,
                   boost::system::error_code& error)
{
    acceptor.bind(where, error);
    if (address.type == endpoint::kind::unix_socket) {
        return;
    }
    if (error == asio::error::address_in_use) {
        boost::system::error_code shared;
        acceptor.set_option(reuse_port{true}, shared);
        acceptor.bind(where, shared);
        if (!shared) {
            error = shared;
            log::warn("another process of this user listens here too: connections go to both until it stops",
                      {{"address", address.to_string()}});
        }
    } else if (!error) {
        acceptor.set_option(reuse_port{true}, error);
    }
}

std::string remedy_for(const boost::system::error_code& error)
{
    if (error == asio::error::address_in_use) {
        return "; another program listens there: stop it or choose another address";
    }
    if (error == asio::error::access_denied) {
        return "; a port below 1024 or this path needs more rights";
    }
    if (error.value() == EADDRNOTAVAIL) {
        return "; this machine has no such address: use one of its own, or 0.0.0.0 or [::] for all";
    }
    if (error.value() == ENOENT) {
        return "; the directory does not exist: create it";
    }
    return {};
}

}  // namespace

stream_acceptor listen_on(asio::any_io_executor executor, const endpoint& address, int backlog)
{
    const auto addresses = resolve_blocking(address);
    if (!addresses) {
        throw std::runtime_error(addresses.error().detail + "; use a name that resolves or a numeric address");
    }
    if (address.type == endpoint::kind::unix_socket) {
        remove_stale_socket(address.path);
    }
    const socket_address& where = addresses->front();
    stream_acceptor acceptor{std::move(executor)};
    boost::system::error_code error;
    acceptor.open(where.protocol(), error);
    if (!error) {
        acceptor.set_option(asio::socket_base::reuse_address{true}, error);
    }
    if (!error) {
        bind_or_share(acceptor, where, address, error);
    }
    if (!error) {
        acceptor.listen(backlog, error);
    }
    if (!error) {
        acceptor.native_non_blocking(true, error);
    }
    if (error) {
        throw std::runtime_error(address.to_string() + ": " + error.message() + remedy_for(error));
    }
    return acceptor;
}

void stop_listening(stream_acceptor& on, const endpoint& address)
{
    if (!on.is_open()) {
        return;
    }
    boost::system::error_code ignored;
    on.close(ignored);
    if (address.type == endpoint::kind::unix_socket) {
        ::unlink(address.path.c_str());
    }
}

}  // namespace buildkit_lb
