#include "core/reuse_port.hpp"

#include <algorithm>
#include <array>
#include <fstream>
#include <linux/filter.h>
#include <sstream>
#include <string>
#include <sys/socket.h>
#include <sys/stat.h>

namespace buildkit_lb {
namespace {

/// A row of /proc/net/tcp (proc(5)).
struct row {
    std::string local;
    std::string state;
    std::string uid;
    std::uint64_t inode = 0;
};

bool read_row(std::istream& in, row& out)
{
    std::string line;
    if (!std::getline(in, line)) {
        return false;
    }
    std::string skipped;
    std::istringstream fields{line};
    fields >> skipped >> out.local >> skipped >> out.state >> skipped >> skipped >> skipped >> out.uid >> skipped >>
        out.inode;
    return !fields.fail();
}

/// Everything that listens in this network namespace.
std::vector<row> listening_rows(const char* table)
{
    constexpr std::string_view listen_state = "0A";
    std::vector<row> found;
    std::ifstream in{table};
    std::string header;
    std::getline(in, header);
    // Sockets that listen come first, whatever else there is by the thousand.
    for (row one; read_row(in, one) && one.state == listen_state;) {
        found.push_back(one);
    }
    return found;
}

/// The inodes of the other sockets of this user that listen on the address of `fd`.
std::vector<std::uint64_t> others_of(int fd)
{
    struct stat about{};
    if (::fstat(fd, &about) != 0) {
        return {};
    }
    for (const char* table : {"/proc/self/net/tcp", "/proc/self/net/tcp6"}) {
        const auto rows = listening_rows(table);
        const auto own = std::find_if(rows.begin(), rows.end(), [&](const row& r) { return r.inode == about.st_ino; });
        if (own == rows.end()) {
            continue;
        }
        std::vector<std::uint64_t> others;
        for (const auto& r : rows) {
            if (r.inode != own->inode && r.local == own->local && r.uid == own->uid) {
                others.push_back(r.inode);
            }
        }
        return others;
    }
    return {};
}

/// New connections of the group of `fd` go to its socket of that index.
void lead_to(int fd, std::size_t index)
{
    std::array<sock_filter, 1> code{{{BPF_RET | BPF_K, 0, 0, static_cast<std::uint32_t>(index)}}};
    const sock_fprog program{code.size(), code.data()};
    // An old kernel that refuses goes on choosing by hash: what happens without us.
    ::setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof program);
}

}  // namespace

bool reuse_port::allow(int fd)
{
    const int on = 1;
    return ::setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0;
}

bool reuse_port::take(int fd)
{
    older_ = others_of(fd);
    if (older_.empty()) {
        return false;
    }
    lead_to(fd, older_.size());
    return true;
}

bool reuse_port::give_back(int fd) const
{
    const auto others = others_of(fd);
    const auto is_older = [&](std::uint64_t inode) {
        return std::find(older_.begin(), older_.end(), inode) != older_.end();
    };
    // One that came later has taken them already.
    if (!others.empty() && std::all_of(others.begin(), others.end(), is_older)) {
        lead_to(fd, 0);
    }
    return !others.empty();
}

}  // namespace buildkit_lb
