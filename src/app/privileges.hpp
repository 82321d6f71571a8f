#pragma once

#include <string>
#include <sys/types.h>
#include <vector>

/// Becoming another user than root, as `user` of the configuration asks for.
namespace buildkit_lb::app {

/// Whom the process becomes.
struct identity {
    std::string name;  ///< as configured
    uid_t user = 0;
    gid_t group = 0;
    std::vector<gid_t> groups;  ///< all of them
};

/// Looks `NAME` or `NAME:GROUP` up, names or numbers. Throws std::runtime_error, for people, when there is no such user
/// or group, or when this process may not become anybody.
identity find_identity(const std::string& user);

/// Gives up what every thread has for itself: nothing that is executed from here on gains privileges (no_new_privs),
/// and there are none to inherit. Call it while there is one thread; the others take it from there.
void renounce_privileges();

/// Becomes `who`, in all threads and for good: capabilities are gone. Throws std::runtime_error.
void become(const identity& who);

/// Makes the directory of `file` for `who`, if it is missing and its parent is there.
void make_directory_for(const identity& who, const std::string& file);

}  // namespace buildkit_lb::app
