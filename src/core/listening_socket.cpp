#include "core/listening_socket.hpp"

#include <boost/asio/error.hpp>
#include <cerrno>
#include <stdexcept>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

#include "core/log.hpp"
#include "core/resolve.hpp"

namespace buildkit_lb {

namespace asio = boost::asio;
using boost::system::error_code;

namespace {

std::string remedy_for(const error_code& error)
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
    if (error.value() == ENAMETOOLONG) {
        return "; choose a shorter path: at most 102 bytes";
    }
    return {};
}

}  // namespace

listening_socket::listening_socket(asio::any_io_executor executor, endpoint address, passed_sockets* passed)
    : address_{std::move(address)}, acceptor_{std::move(executor)}, file_{address_.path}
{
    const auto addresses = resolve_blocking(address_);
    if (!addresses) {
        throw std::runtime_error(addresses.error().detail + "; use a name that resolves or a numeric address");
    }
    const socket_address& where = addresses->front();
    if (passed != nullptr && adopt(*passed, where)) {
        return;
    }
    if (const auto error = bind(where)) {
        fail(error);
    }
}

bool listening_socket::adopt(passed_sockets& passed, const socket_address& where)
{
    const auto fd = passed.find(where);
    if (!fd) {
        return false;
    }
    error_code error;
    acceptor_.assign(where.protocol(), *fd, error);
    if (error) {
        ::close(*fd);
        fail(error);
    }
    acceptor_.native_non_blocking(true, error);
    passed_ = true;
    return true;
}

error_code listening_socket::bind(const socket_address& where)
{
    error_code error;
    acceptor_.open(where.protocol(), error);
    if (error) {
        return error;
    }
    acceptor_.native_non_blocking(true, error);
    if (address_.type == endpoint::kind::unix_socket) {
        return file_.bind(acceptor_.native_handle());
    }
    acceptor_.set_option(asio::socket_base::reuse_address{true}, error);
    acceptor_.bind(where, error);
    if (error == asio::error::address_in_use) {
        reuse_port::allow(acceptor_.native_handle());
        acceptor_.bind(where, error);
    } else if (!error) {
        // Allowed only now, so that whoever meets nobody has the port for itself until it listens.
        reuse_port::allow(acceptor_.native_handle());
    }
    return error;
}

void listening_socket::listen(int backlog)
{
    if (passed_) {
        return;
    }
    error_code error;
    bool taken_over = false;
    acceptor_.listen(backlog, error);
    if (!error && address_.type == endpoint::kind::unix_socket) {
        error = file_.publish(taken_over);
    } else if (!error) {
        taken_over = group_.take(acceptor_.native_handle());
    }
    if (error) {
        fail(error);
    }
    if (taken_over) {
        log::warn("another socket of this user listens here too: new connections come to this one from now on",
                  {{"address", address_.to_string()}});
    }
}

void listening_socket::fail(const error_code& error) const
{
    throw std::runtime_error(address_.to_string() + ": " + error.message() + remedy_for(error));
}

std::string listening_socket::local_address() const
{
    error_code error;
    const auto local = acceptor_.local_endpoint(error);
    return error || address_.type == endpoint::kind::unix_socket ? address_.to_string() : to_string(local);
}

successor listening_socket::give_way()
{
    if (passed_) {
        return successor::service_manager;
    }
    const bool taken =
        address_.type == endpoint::kind::unix_socket ? !file_.is_ours() : group_.give_back(acceptor_.native_handle());
    return taken ? successor::another_socket : successor::nobody;
}

void listening_socket::close()
{
    if (!is_open()) {
        return;
    }
    error_code ignored;
    acceptor_.close(ignored);
    file_.remove();
}

}  // namespace buildkit_lb
