#include "app/memory_ceiling.hpp"

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <stdlib.h>

namespace buildkit_lb::app {
namespace {

/// A made-up machine: what it says in /proc and /sys.
class machine {
public:
    machine()
    {
        std::string name = std::filesystem::temp_directory_path() / "buildkit-lb-XXXXXX";
        REQUIRE(::mkdtemp(name.data()) != nullptr);
        root_ = name;
        write("/proc/meminfo", "MemTotal:       1000 kB\nMemFree:          10 kB\n");
    }
    machine(const machine&) = delete;
    machine& operator=(const machine&) = delete;
    ~machine() { std::filesystem::remove_all(root_); }

    void write(const std::string& file, const std::string& text) const
    {
        const std::filesystem::path path = root_ + file;
        std::filesystem::create_directories(path.parent_path());
        std::ofstream{path} << text;
    }
    std::uint64_t memory() const { return available_memory(root_); }

private:
    std::string root_;
};

constexpr std::uint64_t all = 1000 * 1024;

TEST_CASE("a ceiling is reached once, and left when there is some room below it")
{
    memory_ceiling ceiling;
    ceiling.set_limit(1000);
    CHECK_FALSE(ceiling.observe(999));
    CHECK_FALSE(ceiling.reached());
    CHECK_FALSE(ceiling.is_reached_at(999));
    CHECK(ceiling.observe(1000));
    CHECK(ceiling.reached());
    CHECK(ceiling.is_reached_at(950));
    CHECK_FALSE(ceiling.is_reached_at(949));
    CHECK_FALSE(ceiling.observe(999));
    CHECK_FALSE(ceiling.observe(950));
    CHECK(ceiling.reached());
    CHECK(ceiling.observe(949));
    CHECK_FALSE(ceiling.reached());
}

TEST_CASE("without a ceiling nobody waits, also from one moment to the next")
{
    memory_ceiling ceiling;
    CHECK_FALSE(ceiling.observe(std::uint64_t{1} << 60U));
    ceiling.set_limit(1);
    CHECK(ceiling.observe(2));
    ceiling.set_limit(0);
    CHECK_FALSE(ceiling.reached());
}

TEST_CASE("the configured bound counts, else four fifths of what there is")
{
    CHECK(memory_limit_of(123, 1000) == 123);
    CHECK(memory_limit_of(0, 1000) == 0);
    CHECK(memory_limit_of(std::nullopt, 1000) == 800);
    CHECK(memory_limit_of(std::nullopt, UINT64_MAX) == 0);
}

TEST_CASE("what there is, is what the machine has or less, if a control group says so")
{
    const machine m;
    CHECK(m.memory() == all);

    SECTION("version 2, here or above")
    {
        m.write("/proc/self/cgroup", "0::/system.slice/lb.service\n");
        CHECK(m.memory() == all);
        m.write("/sys/fs/cgroup/system.slice/lb.service/memory.max", "max\n");
        CHECK(m.memory() == all);
        m.write("/sys/fs/cgroup/system.slice/memory.max", "500000\n");
        CHECK(m.memory() == 500000);
        m.write("/sys/fs/cgroup/system.slice/lb.service/memory.max", "400000\n");
        CHECK(m.memory() == 400000);
        m.write("/sys/fs/cgroup/system.slice/lb.service/memory.max", "99999999999\n");
        CHECK(m.memory() == 500000);
    }
    SECTION("a container, whose own group is the root of what it sees")
    {
        m.write("/sys/fs/cgroup/memory.max", "300000\n");
        m.write("/proc/self/cgroup", "0::/\n");
        CHECK(m.memory() == 300000);
        m.write("/proc/self/cgroup", "0::/../other\n");
        CHECK(m.memory() == 300000);
    }
    SECTION("version 1, with the path of the host")
    {
        m.write("/proc/self/cgroup", "5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n0::/\n");
        m.write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "200000\n");
        CHECK(m.memory() == 200000);
        m.write("/sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes", "9223372036854771712\n");
        CHECK(m.memory() == 200000);
    }
    SECTION("lines that say nothing of memory")
    {
        m.write("/proc/self/cgroup", "nonsense\n7:memoryless:/\n1:name=systemd:/x\n");
        m.write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "1\n");
        CHECK(m.memory() == all);
    }
}

}  // namespace
}  // namespace buildkit_lb::app
