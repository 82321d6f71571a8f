#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "config/load.hpp"
#include "config/reference.hpp"

namespace buildkit_lb::config {

/// One reading of one file: the problems so far, and where each key stands. Lives on the stack of parse(); sections
/// and rules write to it.
class reading {
public:
    /// With `keys`, nothing is read: every key of the schema is appended there instead.
    explicit reading(std::string_view file, std::vector<key_info>* keys = nullptr) : file_{file}, keys_{keys} {}
    reading(const reading&) = delete;
    reading& operator=(const reading&) = delete;

    /// Where the schema describes itself to, or nullptr when a file is read.
    std::vector<key_info>* keys() const { return keys_; }

    void locate(const std::string& path, int line) { lines_.emplace(path, line); }

    /// The file has something at `path`.
    bool has(const std::string& path) const { return lines_.contains(path); }

    /// The line of `path`, or of the nearest section around it that has one; 1 if there is none.
    int line_of(std::string_view path) const;

    /// `message` may quote anything that the file holds: it is put on one line.
    void report(int line, std::string_view path, std::string_view message);
    void report(std::string_view path, std::string_view message) { report(line_of(path), path, message); }

    /// The problems in order of line.
    std::vector<problem> take() { return std::move(problems_); }

private:
    const std::string file_;
    std::vector<key_info>* const keys_;
    std::unordered_map<std::string, int> lines_;
    std::vector<problem> problems_;  // in order of line, and of report within one
};

}  // namespace buildkit_lb::config
