#include "app/privileges.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <grp.h>
#include <linux/capability.h>
#include <optional>
#include <pwd.h>
#include <stdexcept>
#include <string_view>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <system_error>
#include <unistd.h>

namespace buildkit_lb::app {
namespace {

[[noreturn]] void fail(const std::string& what)
{
    throw std::runtime_error("user: " + what);
}

std::string why()
{
    return std::generic_category().message(errno);
}

template <class Id>
std::optional<Id> as_number(std::string_view text)
{
    Id id = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
    const bool whole = error == std::errc{} && end == text.data() + text.size();
    // -1 means "unchanged" to the kernel.
    return whole && id != static_cast<Id>(-1) ? std::optional{id} : std::nullopt;
}

gid_t find_group(const std::string& name)
{
    if (const group* found = ::getgrnam(name.c_str())) {
        return found->gr_gid;
    }
    if (const auto number = as_number<gid_t>(name)) {
        return *number;
    }
    fail("there is no group '" + name + "' on this machine");
}

std::vector<gid_t> groups_of(const std::string& user, gid_t first)
{
    std::vector<gid_t> groups(32);
    int count = static_cast<int>(groups.size());
    while (::getgrouplist(user.c_str(), first, groups.data(), &count) < 0) {
        groups.resize(static_cast<std::size_t>(count));
    }
    groups.resize(static_cast<std::size_t>(count));
    return groups;
}

}  // namespace

identity find_identity(const std::string& user)
{
    if (::geteuid() != 0) {
        fail("only root can become '" + user + "': start as root, or leave the key out");
    }
    identity who;
    who.name = user;
    const auto colon = user.find(':');
    const std::string name = user.substr(0, colon);
    const bool has_group = colon != user.npos;
    if (const passwd* found = ::getpwnam(name.c_str())) {
        who.user = found->pw_uid;
        who.group = has_group ? 0 : found->pw_gid;
    } else if (const auto number = as_number<uid_t>(name)) {
        if (!has_group) {
            fail("'" + name + "' is a number, which has no group of its own: write USER:GROUP");
        }
        who.user = *number;
    } else {
        fail("there is no user '" + name + "' on this machine");
    }
    if (has_group) {
        who.group = find_group(user.substr(colon + 1));
    }
    if (who.user == 0) {
        fail("'" + name + "' is root: nothing would be given up; name another one, or leave the key out");
    }
    who.groups = groups_of(name, who.group);
    return who;
}

void renounce_privileges()
{
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        fail("no_new_privs could not be set: " + why());
    }
    ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    for (int capability = 0; ::prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; ++capability) {
        // Without CAP_SETPCAP the bounding set stays. It bounds what programs with capabilities of their own may have,
        // and no_new_privs keeps those from having any.
        ::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
    }
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3]{};
    if (::syscall(SYS_capget, &header, data) == 0) {
        for (auto& part : data) {
            part.inheritable = 0;
        }
        ::syscall(SYS_capset, &header, data);
    }
}

void become(const identity& who)
{
    // glibc does these in all threads. A change from root to another user takes the capabilities away.
    if (::setgroups(who.groups.size(), who.groups.data()) != 0 || ::setresgid(who.group, who.group, who.group) != 0 ||
        ::setresuid(who.user, who.user, who.user) != 0) {
        fail("'" + who.name + "' could not be become: " + why());
    }
    if (::setuid(0) == 0 || ::getuid() != who.user || ::getegid() != who.group) {
        fail("'" + who.name + "' could not be become for good");
    }
}

void make_directory_for(const identity& who, const std::string& file)
{
    constexpr mode_t mode = 0755;
    const auto slash = file.rfind('/');
    if (slash == file.npos || slash == 0) {
        return;
    }
    const std::string directory = file.substr(0, slash);
    // What goes wrong is told by whoever needs it.
    if (::mkdir(directory.c_str(), mode) == 0 && ::chown(directory.c_str(), who.user, who.group) != 0) {
        ::rmdir(directory.c_str());
    }
}

}  // namespace buildkit_lb::app
