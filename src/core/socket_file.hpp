#pragma once

#include <boost/system/error_code.hpp>
#include <string>
#include <sys/types.h>
#include <utility>

namespace buildkit_lb {

/// The name of a listening unix socket in the file system. A new process takes a name over from one that still listens:
/// its socket is bound beside and renamed over the old one, so that at no moment nobody can be connected to.
///
/// Owned by a listening_socket and used on its thread. The descriptor stays the owner's.
class socket_file {
public:
    explicit socket_file(std::string path) : path_{std::move(path)} {}
    socket_file(const socket_file&) = delete;
    socket_file& operator=(const socket_file&) = delete;
    ~socket_file() { remove(); }

    /// Binds `fd` to a name beside the path. address_in_use: something else than this program has the path: a file that
    /// is no socket, or another program or another user that listens there.
    boost::system::error_code bind(int fd);

    /// `fd` listens: puts its name in place of whatever the path names. True in `taken_over` when somebody listens
    /// there.
    boost::system::error_code publish(bool& taken_over);

    /// The path names this socket, and not one of a process that has taken over.
    bool is_ours() const;

    /// Removes the name if it is ours.
    void remove();

private:
    const std::string path_;
    std::string aside_;  // while it is not published
    bool published_ = false;
    dev_t device_ = 0;
    ino_t inode_ = 0;
};

}  // namespace buildkit_lb
