#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "core/failure.hpp"

namespace buildkit_lb::state {

/// A file that is replaced as a whole or not at all, and that one process writes at a time: reading, writing, setting
/// aside. Errors are texts that name the file and the system's reason. Every member blocks; one thread at a time.
class state_file {
public:
    explicit state_file(std::string path) : path_{std::move(path)} {}
    state_file(const state_file&) = delete;
    state_file& operator=(const state_file&) = delete;
    ~state_file() { unlock(); }

    const std::string& path() const { return path_; }

    /// The whole text; nullopt when there is no file.
    checked<std::optional<std::string>> read() const;

    /// Who may write: `taken` while another process has it. Makes the directory if its parent is there.
    enum class lock_state : std::uint8_t { held, taken };
    checked<lock_state> lock();
    void unlock();

    /// Hands `make` a function that takes the text piece by piece, and puts the file in place of the old one once all
    /// of it is on the disk. Until then, and when anything goes wrong, the old one stays.
    using sink = std::function<void(std::string_view)>;
    checked<void> replace(const std::function<void(const sink&)>& make);

    /// Renames the file to the returned name, in place of what was set aside before.
    checked<std::string> set_aside();

private:
    const std::string path_;
    int lock_ = -1;  // a descriptor
};

}  // namespace buildkit_lb::state
