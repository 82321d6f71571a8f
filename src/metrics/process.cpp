#include "metrics/process.hpp"

#include <dirent.h>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <string_view>
#include <sys/resource.h>
#include <unistd.h>

namespace buildkit_lb::metrics {

std::optional<double> cpu_seconds()
{
    rusage usage{};
    if (::getrusage(RUSAGE_SELF, &usage) != 0) {
        return std::nullopt;
    }
    const auto seconds = [](const timeval& t) {
        return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
    };
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

std::optional<memory_sizes> process_memory()
{
    std::ifstream file{"/proc/self/statm"};
    std::uint64_t virtual_pages = 0;
    std::uint64_t resident_pages = 0;
    if (!(file >> virtual_pages >> resident_pages)) {
        return std::nullopt;
    }
    const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
    return memory_sizes{virtual_pages * page, resident_pages * page};
}

std::optional<double> open_descriptors()
{
    DIR* directory = ::opendir("/proc/self/fd");
    if (directory == nullptr) {
        return std::nullopt;
    }
    // ".", ".." and the descriptor of the directory itself are not ours to count.
    double count = -3;
    while (::readdir(directory) != nullptr) {
        ++count;
    }
    ::closedir(directory);
    return count;
}

std::optional<double> max_descriptors()
{
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return std::nullopt;
    }
    return static_cast<double>(limit.rlim_cur);
}

std::optional<double> start_time()
{
    std::ifstream own{"/proc/self/stat"};
    std::string text{std::istreambuf_iterator<char>{own}, {}};
    // The second field is the program's name in parentheses, which may hold anything.
    const auto name_end = text.rfind(')');
    if (name_end == std::string::npos) {
        return std::nullopt;
    }
    std::istringstream fields{text.substr(name_end + 1)};
    std::string skipped;
    for (int field = 3; field < 22; ++field) {
        fields >> skipped;
    }
    double ticks_after_boot = 0;
    if (!(fields >> ticks_after_boot)) {
        return std::nullopt;
    }
    std::ifstream system{"/proc/stat"};
    for (std::string line; std::getline(system, line);) {
        constexpr std::string_view key = "btime ";
        if (line.starts_with(key)) {
            const double boot = std::stod(line.substr(key.size()));
            return boot + ticks_after_boot / static_cast<double>(::sysconf(_SC_CLK_TCK));
        }
    }
    return std::nullopt;
}

}  // namespace buildkit_lb::metrics
