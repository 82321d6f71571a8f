#include "app/memory_ceiling.hpp"

#include <algorithm>
#include <fstream>
#include <limits>
#include <string_view>
#include <utility>

namespace buildkit_lb::app {
namespace {

constexpr std::uint64_t unlimited = std::numeric_limits<std::uint64_t>::max();

/// The number that a file begins with; `max`, as control groups write it, and no file are no limit.
std::uint64_t number_in(const std::string& file)
{
    std::ifstream in{file};
    std::uint64_t number = 0;
    return in >> number ? number : unlimited;
}

/// Of the machine, as the kernel counts it.
std::uint64_t machine_memory(const std::string& root)
{
    std::ifstream in{root + "/proc/meminfo"};
    std::string key;
    std::uint64_t kilobytes = 0;
    return in >> key >> kilobytes && key == "MemTotal:" ? kilobytes * 1024 : unlimited;
}

/// The least that `file` says in the directory of a control group and in those above it. In a container the hierarchy
/// is mounted with its own group as the root, while its path may still be that of the host: what does not exist is
/// passed over on the way up.
std::uint64_t least_on_the_way_up(const std::string& mounted, std::string group, const std::string& file)
{
    std::uint64_t least = unlimited;
    for (;;) {
        while (group.ends_with('/')) {
            group.pop_back();
        }
        std::string path = mounted;
        path.append(group).append("/").append(file);
        least = std::min(least, number_in(path));
        if (group.empty()) {
            return least;
        }
        group.erase(std::min(group.rfind('/'), group.size()));
    }
}

bool lists(std::string_view controllers, std::string_view wanted)
{
    while (!controllers.empty()) {
        const auto end = std::min(controllers.find(','), controllers.size());
        if (controllers.substr(0, end) == wanted) {
            return true;
        }
        controllers.remove_prefix(std::min(end + 1, controllers.size()));
    }
    return false;
}

}  // namespace

void memory_ceiling::set_limit(std::uint64_t limit)
{
    limit_ = limit;
    reached_ = reached_ && limit != 0;
}

bool memory_ceiling::is_reached_at(std::uint64_t resident) const
{
    // Without a gap between the two every connection that ends would let one in that is paused for at once.
    return limit_ != 0 && resident >= (reached_ ? limit_ - limit_ / 20 : limit_);
}

bool memory_ceiling::observe(std::uint64_t resident)
{
    const bool reached = is_reached_at(resident);
    return std::exchange(reached_, reached) != reached;
}

std::uint64_t available_memory(const std::string& root)
{
    std::uint64_t least = machine_memory(root);
    std::ifstream in{root + "/proc/self/cgroup"};
    // ID:CONTROLLERS:PATH, where v2 has the ID 0 and no controllers (cgroups(7)).
    for (std::string line; std::getline(in, line);) {
        const auto first = line.find(':');
        const auto second = line.find(':', std::min(first, line.size()) + 1);
        if (first == line.npos || second == line.npos) {
            continue;
        }
        const auto controllers = std::string_view{line}.substr(first + 1, second - first - 1);
        const std::string group = line.substr(second + 1);
        if (controllers.empty()) {
            least = std::min(least, least_on_the_way_up(root + "/sys/fs/cgroup", group, "memory.max"));
        } else if (lists(controllers, "memory")) {
            least =
                std::min(least, least_on_the_way_up(root + "/sys/fs/cgroup/memory", group, "memory.limit_in_bytes"));
        }
    }
    return least;
}

std::uint64_t memory_limit_of(std::optional<std::uint64_t> configured, std::uint64_t available)
{
    if (configured) {
        return *configured;
    }
    return available == unlimited ? 0 : available / 5 * 4;
}

}  // namespace buildkit_lb::app
