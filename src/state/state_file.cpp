#include "state/state_file.hpp"

#include <array>
#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace buildkit_lb::state {
namespace {

constexpr mode_t private_file = 0600;  // keys name projects
constexpr mode_t directory_mode = 0755;

complaint failed(std::string_view doing, const std::string& what)
{
    return complaint{"can't " + std::string{doing} + " " + what + ": " + std::generic_category().message(errno)};
}

/// Closes a descriptor; errno stays.
class descriptor {
public:
    explicit descriptor(int fd) : fd_{fd} {}
    descriptor(const descriptor&) = delete;
    descriptor& operator=(const descriptor&) = delete;
    ~descriptor()
    {
        const int kept = errno;
        if (fd_ >= 0) {
            ::close(fd_);
        }
        errno = kept;
    }
    int get() const { return fd_; }
    int release() { return std::exchange(fd_, -1); }

private:
    int fd_;
};

std::string directory_of(const std::string& path)
{
    const auto slash = path.rfind('/');
    return slash == std::string::npos ? "." : path.substr(0, slash + 1);
}

bool write_all(int fd, std::string_view text)
{
    while (!text.empty()) {
        const ssize_t written = ::write(fd, text.data(), text.size());
        if (written < 0 && errno != EINTR) {
            return false;
        }
        text.remove_prefix(written > 0 ? static_cast<std::size_t>(written) : 0);
    }
    return true;
}

}  // namespace

checked<std::optional<std::string>> state_file::read() const
{
    const descriptor file{::open(path_.c_str(), O_RDONLY | O_CLOEXEC)};
    if (file.get() < 0 && (errno == ENOENT || errno == ENOTDIR)) {
        return std::optional<std::string>{};
    }
    std::string text;
    std::array<char, 64 * 1024> block;
    for (;;) {
        const ssize_t got = file.get() < 0 ? -1 : ::read(file.get(), block.data(), block.size());
        if (got < 0 && file.get() >= 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return failed("read", path_);
        }
        if (got == 0) {
            return std::optional{std::move(text)};
        }
        text.append(block.data(), static_cast<std::size_t>(got));
    }
}

checked<state_file::lock_state> state_file::lock()
{
    if (lock_ >= 0) {
        return lock_state::held;
    }
    const std::string directory = directory_of(path_);
    if (::mkdir(directory.c_str(), directory_mode) != 0 && errno != EEXIST) {
        return failed("make the directory", directory);
    }
    const std::string name = path_ + ".lock";
    descriptor file{::open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, private_file)};
    if (file.get() < 0) {
        return failed("write", name);
    }
    // A file system without locks is no reason to forget everything.
    if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
        return lock_state::taken;
    }
    lock_ = file.release();
    return lock_state::held;
}

void state_file::unlock()
{
    const descriptor closed{std::exchange(lock_, -1)};
}

checked<void> state_file::replace(const std::function<void(const sink&)>& make)
{
    const std::string name = path_ + ".tmp";
    const descriptor file{::open(name.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, private_file)};
    if (file.get() < 0) {
        return failed("write", name);
    }
    bool good = true;
    int error = 0;
    make([&](std::string_view text) {
        if (good && !write_all(file.get(), text)) {
            good = false;
            error = errno;
        }
    });
    if (good && (::fsync(file.get()) != 0 || ::rename(name.c_str(), path_.c_str()) != 0)) {
        good = false;
        error = errno;
    }
    if (!good) {
        ::unlink(name.c_str());
        errno = error;
        return failed("write", name);
    }
    // The new name, too, is to outlive a power cut. Where a directory can't be synced, it mostly will.
    const descriptor directory{::open(directory_of(path_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (directory.get() >= 0) {
        ::fsync(directory.get());
    }
    return {};
}

checked<std::string> state_file::set_aside()
{
    std::string name = path_ + ".damaged";
    if (::rename(path_.c_str(), name.c_str()) != 0) {
        return failed("rename", path_);
    }
    return checked<std::string>{boost::system::in_place_value, std::move(name)};
}

}  // namespace buildkit_lb::state
