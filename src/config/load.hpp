#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.hpp"
#include "config/difference.hpp"

namespace buildkit_lb::config {

/// One mistake in a configuration file.
struct problem {
    std::string file;
    int line = 0;         ///< from 1; 0 where no line fits (the file can't be read)
    std::string path;     ///< for example `pools[0].workers[2].weight`
    std::string message;  ///< what was found and what is allowed

    /// `conf/lb.yaml:12: pools[0].workers[2].weight: …`
    std::string to_string() const;
};

/// What load() returns: a configuration, or at least one problem.
struct load_result {
    root value;
    flat_values written;  ///< the values that stand in the file, for difference()
    std::vector<problem> problems;

    explicit operator bool() const { return problems.empty(); }
};

/// Whether load() also reads the files that the configuration names: whoever only looks something up need not be
/// allowed to.
enum class named_files : std::uint8_t { read, leave };

/// Reads and checks a file. Reports every problem it finds, in order of line. Does not throw.
load_result load(const std::filesystem::path& file, named_files others = named_files::read);

/// The same for a text, without the files it names; `file` only names it in problems.
load_result parse(std::string_view text, std::string_view file);

}  // namespace buildkit_lb::config
