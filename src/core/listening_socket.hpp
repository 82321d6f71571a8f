#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <cstdint>
#include <string>

#include "core/endpoint.hpp"
#include "core/passed_sockets.hpp"
#include "core/reuse_port.hpp"
#include "core/socket_file.hpp"

namespace buildkit_lb {

using stream_acceptor = boost::asio::basic_socket_acceptor<boost::asio::generic::stream_protocol>;

/// Who gets the connections to an address once a socket on it has closed.
enum class successor : std::uint8_t {
    nobody,
    another_socket,   ///< of a process that takes over, or of a new listener of this one
    service_manager,  ///< the socket stays open there, with all that wait in its queue
};

/// A listening TCP or unix socket that a new process can take over without a moment in which nobody listens, and
/// without a lost connection: TCP by reuse_port, unix by socket_file, either by passed_sockets.
///
/// Owned by what accepts; lives on the control thread. In this order: construct, listen(), accept, give_way(), accept
/// what still comes, close().
class listening_socket {
public:
    /// Takes the socket of this address that was passed to the process, or binds one, non-blocking. A port is shared
    /// with a process of the same user that listens there by means of this class, a socket file is taken over from the
    /// same program; what a killed process has left behind is replaced. `passed` may be null and outlives this object.
    /// Blocks while a name is looked up: for start-up and reloads only. Throws std::runtime_error whose text is
    /// `ADDRESS: why; what to do about it`.
    listening_socket(boost::asio::any_io_executor executor, endpoint address, passed_sockets* passed = nullptr);
    listening_socket(const listening_socket&) = delete;
    listening_socket& operator=(const listening_socket&) = delete;
    ~listening_socket() { close(); }

    /// From now on all new connections come here. Logs when they went somewhere else before. Throws like the
    /// constructor.
    void listen(int backlog);

    stream_acceptor& acceptor() { return acceptor_; }
    bool is_open() const { return acceptor_.is_open(); }
    const endpoint& address() const { return address_; }

    /// The address it is bound to, for people: with port 0 the port the kernel chose.
    std::string local_address() const;

    /// Leaves new connections to whoever is to have them. Those that are under way may still come here for a moment.
    successor give_way();

    /// Closes it, and removes its socket file if that is still its own. Does nothing when it is closed already.
    void close();

private:
    bool adopt(passed_sockets& passed, const socket_address& where);
    boost::system::error_code bind(const socket_address& where);
    [[noreturn]] void fail(const boost::system::error_code& error) const;

    const endpoint address_;
    stream_acceptor acceptor_;
    bool passed_ = false;
    socket_file file_;
    reuse_port group_;
};

}  // namespace buildkit_lb
