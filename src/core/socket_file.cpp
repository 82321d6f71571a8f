#include "core/socket_file.hpp"

#include <boost/asio/error.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <cerrno>
#include <cstdint>
#include <fstream>
#include <random>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace buildkit_lb {
namespace {

using boost::system::error_code;
using name = boost::asio::local::stream_protocol::endpoint;

error_code last_error()
{
    return {errno, boost::system::system_category()};
}

/// Short, because the kernel's limit of 107 bytes for a path holds for the name beside it too.
std::string name_beside(const std::string& path)
{
    constexpr std::string_view letters = "0123456789abcdefghijklmnopqrstuvwxyz";
    std::random_device random;
    std::string made = path + '.';
    for (int i = 0; i < 4; ++i) {
        made += letters[random() % letters.size()];
    }
    return made;
}

std::string program_of(const std::string& process)
{
    std::ifstream file{"/proc/" + process + "/comm"};
    std::string text;
    std::getline(file, text);
    return text;
}

/// A process that is not in our own PID namespace has no number here, and can't be told from us.
bool is_same_program(const ucred& other)
{
    return other.uid == ::geteuid() && (other.pid == 0 || program_of(std::to_string(other.pid)) == program_of("self"));
}

enum class occupant : std::uint8_t { none, left_behind, same_program, stranger };

occupant find_occupant(const std::string& path)
{
    struct stat about{};
    if (::lstat(path.c_str(), &about) != 0) {
        return occupant::none;
    }
    if (!S_ISSOCK(about.st_mode)) {
        return occupant::stranger;
    }
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return occupant::stranger;
    }
    const name where{path};
    auto found = occupant::stranger;
    ucred other{};
    socklen_t size = sizeof other;
    if (::connect(fd, where.data(), static_cast<socklen_t>(where.size())) != 0) {
        found = errno == ECONNREFUSED ? occupant::left_behind : occupant::stranger;
    } else if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &other, &size) == 0 && is_same_program(other)) {
        found = occupant::same_program;
    }
    ::close(fd);
    return found;
}

}  // namespace

error_code socket_file::bind(int fd)
{
    if (find_occupant(path_) == occupant::stranger) {
        return boost::asio::error::address_in_use;
    }
    const std::string beside = name_beside(path_);
    if (beside.size() >= sizeof(sockaddr_un::sun_path)) {
        return {ENAMETOOLONG, boost::system::system_category()};
    }
    const name where{beside};
    struct stat about{};
    if (::bind(fd, where.data(), static_cast<socklen_t>(where.size())) != 0) {
        return last_error();
    }
    aside_ = beside;
    if (::lstat(beside.c_str(), &about) != 0) {
        return last_error();
    }
    device_ = about.st_dev;
    inode_ = about.st_ino;
    return {};
}

error_code socket_file::publish(bool& taken_over)
{
    taken_over = find_occupant(path_) == occupant::same_program;
    if (::rename(aside_.c_str(), path_.c_str()) != 0) {
        return last_error();
    }
    aside_.clear();
    published_ = true;
    return {};
}

bool socket_file::is_ours() const
{
    struct stat about{};
    return published_ && ::lstat(path_.c_str(), &about) == 0 && about.st_dev == device_ && about.st_ino == inode_;
}

void socket_file::remove()
{
    if (!aside_.empty()) {
        ::unlink(aside_.c_str());
        aside_.clear();
    }
    if (is_ours()) {
        ::unlink(path_.c_str());
    }
    published_ = false;
}

}  // namespace buildkit_lb
