#pragma once

#include <cstdint>
#include <vector>

namespace buildkit_lb {

/// One listening TCP socket among those of several processes (or of one, during a reload) that share an address by
/// SO_REUSEPORT: how a new process takes a port over. Left to itself the kernel gives each new connection to one of
/// them by its hash, and resets those that wait in the queue of a socket that closes, also the half-open ones that
/// would come a moment later. So the socket that begins to listen last takes all new connections, by a classic BPF
/// program on the group that returns its index (SO_ATTACH_REUSEPORT_CBPF, socket(7)); the older ones have nothing new
/// to lose when they close. A newest one that ends first gives them back.
///
/// The kernel appends a socket to its group and fills the place of one that closes with the last. An index that it does
/// not have makes it choose by hash again. With more than two sockets at a time indices can't be told for certain after
/// one has closed: connections may then go to any of them.
///
/// Owned by a listening_socket and used on its thread. The descriptor stays the owner's.
class reuse_port {
public:
    /// Allows others of this user to share the address. After bind() the address is this socket's own; set before
    /// it, the address is shared with whoever allows that. Returns false when the kernel does not want to.
    static bool allow(int fd);

    /// `fd` has begun to listen: takes all new connections of its address. True when others listen there.
    bool take(int fd);

    /// True when another socket gets new connections from now on, because one has come later, or because one that was
    /// here before gets them back. False when nobody else listens.
    bool give_back(int fd) const;

private:
    std::vector<std::uint64_t> older_;  // inodes of the sockets that listened before
};

}  // namespace buildkit_lb
