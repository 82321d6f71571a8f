#include "state/keeper.hpp"

#include <catch2/catch.hpp>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/pools.hpp"
#include "support/wait.hpp"

using namespace buildkit_lb;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

namespace {

/// A directory that is gone afterwards.
struct scratch {
    scratch()
    {
        std::string name = (fs::temp_directory_path() / "buildkit-lb-state-XXXXXX").string();
        REQUIRE(::mkdtemp(name.data()) != nullptr);
        path = name;
    }
    scratch(const scratch&) = delete;
    scratch& operator=(const scratch&) = delete;
    ~scratch() { fs::remove_all(path); }

    fs::path path;
};

/// The process can't write a file of more than 64 KiB for as long as this lives: as if the disk were full.
struct small_files {
    small_files()
    {
        handler = std::signal(SIGXFSZ, SIG_IGN);
        REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
        rlimit small = before;
        small.rlim_cur = 64 * 1024;
        REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
    }
    small_files(const small_files&) = delete;
    small_files& operator=(const small_files&) = delete;
    ~small_files()
    {
        ::setrlimit(RLIMIT_FSIZE, &before);
        std::signal(SIGXFSZ, handler);
    }

    rlimit before{};
    void (*handler)(int) = nullptr;
};

std::string text_of(const fs::path& file)
{
    std::ifstream in{file};
    std::ostringstream out;
    out << in.rdbuf();
    return out.str();
}

/// One process: its pool, and its keeper of the state in `file`.
struct process {
    explicit process(const fs::path& file, std::initializer_list<std::uint16_t> ports = {1, 2, 3},
                     duration interval = 1h, const std::string& name = "default")
        : pool{test::pool_at(ports, name, "cache-affinity")}, keeper{file.string(), interval, instruments}
    {
        keeper.set_pools({pool});
        keeper.load();
        keeper.start();
    }

    void build(const std::string& key, const std::string& worker)
    {
        pool->build_succeeded(key, worker, 0.5, clock::now());
    }
    /// Where a build of `key` would go, and why.
    std::pair<std::string, std::string> place(const std::string& key) const
    {
        balancer::pick_context context;
        context.key = key;
        context.now = clock::now();
        const auto chosen = pool->pick_worker(context);
        REQUIRE(chosen);
        return {chosen->worker()->name(), std::string{chosen->reason}};
    }
    const balancer::worker& worker(std::size_t i) const { return *pool->snapshot()->workers.at(i).worker; }
    bool drained(std::size_t i) const { return pool->snapshot()->workers.at(i).draining; }
    bool wrote(int well, int badly) const
    {
        const auto all = instruments.expose();
        return all.find("buildkit_lb_state_writes_total{result=\"ok\"} " + std::to_string(well) + "\n") !=
                   std::string::npos &&
               all.find("buildkit_lb_state_writes_total{result=\"error\"} " + std::to_string(badly) + "\n") !=
                   std::string::npos;
    }

    metrics::instruments instruments;
    std::shared_ptr<balancer::pool> pool;
    state::keeper keeper;
};

}  // namespace

TEST_CASE("the warmth of keys and the drain of workers outlive a process that was stopped")
{
    const scratch dir;
    const auto file = dir.path / "state.json";
    // Each key at a worker of its own choice: hashing alone would not put all of them there.
    {
        process first{file};
        for (const char* worker : {"w1", "w2", "w3"}) {
            for (const char* key : {"a", "b", "c"}) {
                first.build(std::string{key} + worker, worker);
            }
        }
        first.build("aw1", "w3");
        first.pool->set_draining(first.worker(1), true);
        first.keeper.stop();
        CHECK(first.wrote(1, 0));
    }
    struct stat about{};
    REQUIRE(::stat(file.c_str(), &about) == 0);
    CHECK((about.st_mode & 0777U) == 0600);
    CHECK_FALSE(fs::exists(dir.path / "state.json.tmp"));

    process second{file};
    CHECK(second.pool->remembered_keys() == 9);
    CHECK(second.drained(1));
    CHECK_FALSE(second.drained(0));
    second.pool->set_draining(second.worker(1), false);
    for (const char* worker : {"w1", "w2", "w3"}) {
        for (const char* key : {"a", "b", "c"}) {
            CHECK(second.place(std::string{key} + worker) == std::pair{std::string{worker}, std::string{"home"}});
        }
    }
    second.pool->set_health(second.worker(0), balancer::worker_health::down, "gone");
    CHECK(second.place("aw1") == std::pair{std::string{"w3"}, std::string{"warm"}});
}

TEST_CASE("state is written while the process runs, only when something has changed")
{
    const scratch dir;
    const auto file = dir.path / "new" / "state.json";  // the directory is made
    process running{file, {1, 2, 3}, 5ms};
    running.build("app", "w2");
    REQUIRE(test::eventually([&] { return running.wrote(1, 0); }));
    CHECK_THAT(text_of(file), Catch::Contains("\"key\":\"app\",\"warm\":[{\"worker\":\"w2\""));
    running.pool->set_draining(running.worker(0), true);
    REQUIRE(test::eventually([&] { return running.wrote(2, 0); }));
    CHECK_THAT(text_of(file), Catch::Contains("\"drained\":[\"w1\"]"));
    running.keeper.stop();
    CHECK(running.wrote(2, 0));
}

TEST_CASE("what can't wait is written before the interval is over")
{
    const scratch dir;
    const auto file = dir.path / "state.json";
    process running{file, {1, 2, 3}, 1h};
    running.pool->set_draining("w3", true);
    running.keeper.write_soon();
    REQUIRE(test::eventually([&] { return running.wrote(1, 0); }));
    CHECK_THAT(text_of(file), Catch::Contains("\"drained\":[\"w3\"]"));
}

TEST_CASE("workers that are not configured keep their warmth and their drain; one at another address is another one")
{
    const scratch dir;
    const auto file = dir.path / "state.json";
    {
        process first{file, {1, 2, 3}};
        first.build("stays", "w1");
        first.build("moves", "w2");
        first.build("leaves", "w3");
        first.pool->set_draining(first.worker(2), true);
    }
    {
        process second{file, {1, 20}};
        CHECK(second.place("stays").second == "home");
        CHECK(second.place("moves").second == "new");
        CHECK(second.place("leaves").second == "spill");
        second.build("more", "w1");
    }
    process third{file, {1, 20, 3}};
    CHECK(third.drained(2));
    third.pool->set_draining(third.worker(2), false);
    CHECK(third.place("leaves") == std::pair{std::string{"w3"}, std::string{"home"}});
    CHECK(third.place("more").second == "home");
    third.keeper.stop();
    CHECK_THAT(text_of(file), Catch::Contains("\"drained\":[]"));
}

TEST_CASE("a damaged state file, or one of another version, is set aside, and a new one is written")
{
    const scratch dir;
    const auto file = dir.path / "state.json";
    const std::string text = GENERATE(R"({"buildkit_lb_state":1,"pools":{"def)", R"({"buildkit_lb_state":99})", "");
    std::ofstream{file} << text;
    {
        process running{file};
        CHECK(running.pool->remembered_keys() == 0);
        CHECK_FALSE(fs::exists(file));
        CHECK(text_of(dir.path / "state.json.damaged") == text);
        running.build("app", "w2");
    }
    CHECK(process{file}.place("app") == std::pair{std::string{"w2"}, std::string{"home"}});
}

TEST_CASE("a state file that can't be written stops nothing, is counted, and is written once it can be")
{
    const scratch dir;
    const auto file = dir.path / "state" / "state.json";
    std::ofstream{dir.path / "state"} << "a file where the directory should be";
    process running{file, {1, 2, 3}, 5ms};
    CHECK(running.wrote(0, 1));
    running.build("app", "w2");
    REQUIRE(test::eventually([&] { return running.wrote(0, 3); }));
    fs::remove(dir.path / "state");
    REQUIRE(test::eventually([&] { return fs::exists(file); }));
}

TEST_CASE("when writing fails in the middle the old state stays as it was")
{
    const scratch dir;
    const auto file = dir.path / "state.json";
    {
        process first{file};
        first.build("app", "w2");
    }
    const auto old = text_of(file);
    {
        process second{file};
        for (int i = 0; i < 2000; ++i) {
            second.build("key-" + std::to_string(i), "w1");
        }
        {
            const small_files limit;
            second.keeper.stop();
        }
        CHECK(second.wrote(0, 1));
    }
    CHECK_FALSE(fs::exists(dir.path / "state.json.tmp"));
    CHECK(text_of(file) == old);
}

TEST_CASE("of two processes with one state file the second writes when the first has ended")
{
    const scratch dir;
    const auto file = dir.path / "state.json";
    process first{file, {1, 2, 3}, 5ms};
    first.build("app", "w2");
    REQUIRE(test::eventually([&] { return first.wrote(1, 0); }));
    process second{file, {1, 2, 3}, 5ms};
    CHECK(second.place("app").second == "home");
    second.build("later", "w3");
    first.build("meanwhile", "w1");
    REQUIRE(test::eventually([&] { return first.wrote(2, 0); }));
    CHECK(second.wrote(0, 0));

    SECTION("the first has ended")
    {
        first.keeper.stop();
    }
    SECTION("the first only waits for its builds to end")
    {
        first.keeper.begin_stop();
        REQUIRE(test::eventually([&] { return second.wrote(1, 0); }));
        first.build("last", "w1");
        first.keeper.stop();
    }
    REQUIRE(test::eventually([&] { return second.wrote(1, 0); }));
    CHECK_THAT(text_of(file), Catch::Contains("\"key\":\"later\""));
    // Learned by the first after the second had read the file: not overwritten, but taken over.
    CHECK_THAT(text_of(file), Catch::Contains("\"key\":\"meanwhile\""));
    CHECK(second.place("meanwhile") == std::pair{std::string{"w1"}, std::string{"home"}});
    CHECK_THAT(text_of(file), !Catch::Contains("\"key\":\"last\""));
}

TEST_CASE("a worker that comes later is drained if one of its name was, and stays so")
{
    const scratch dir;
    const auto file = dir.path / "state.json";
    {
        process first{file, {1, 2, 3}};
        first.pool->set_draining("w3", true);
    }
    process second{file, {1, 2}};
    balancer::worker_settings found;
    found.name = "w3";
    found.address.host = "127.0.0.1";
    found.address.port = 3;
    second.pool->set_workers({found});
    const auto now = second.pool->snapshot();
    CHECK(now->workers.at(0).worker->name() == "w3");
    CHECK(now->workers.at(0).draining);
}

TEST_CASE("pools that come and go with a reload are kept as they are, and so is what a new policy knows")
{
    const scratch dir;
    const auto file = dir.path / "state.json";
    {
        process running{file, {1, 2, 3}, 1h};
        running.build("app", "w2");
        const auto other = test::pool_at({7}, "other", "cache-affinity");
        running.keeper.set_pools({running.pool, other});
        other->build_succeeded("thing", "w1", 0.5, clock::now());
        running.keeper.write_soon();
        REQUIRE(test::eventually([&] { return running.wrote(1, 0); }));
        CHECK_THAT(text_of(file), Catch::Contains("\"key\":\"thing\""));
        CHECK_THAT(text_of(file), Catch::Contains("\"key\":\"app\""));

        running.keeper.set_pools({running.pool});
        running.pool->set_rules(balancer::make_policy("cache-affinity", {.memory = 10}), {}, {}, clock::now());
        CHECK(running.place("app").second == "home");
        running.build("app", "w2");  // as many changes as the old policy had
        running.keeper.write_soon();
        REQUIRE(test::eventually([&] { return running.wrote(2, 0); }));
    }
    CHECK_THAT(text_of(file), !Catch::Contains("\"key\":\"thing\""));
    CHECK(process{file}.place("app") == std::pair{std::string{"w2"}, std::string{"home"}});
}

TEST_CASE("nothing is kept without a path")
{
    process running{fs::path{}, {1, 2, 3}, 5ms};
    running.build("app", "w2");
    running.keeper.stop();
    CHECK(running.wrote(0, 0));
}

TEST_CASE("keys beyond one copy are all kept")
{
    const scratch dir;
    const auto file = dir.path / "state.json";
    {
        process first{file};
        for (int i = 0; i < 1025; ++i) {
            first.build("key-" + std::to_string(i), "w" + std::to_string(i % 3 + 1));
        }
    }
    const process second{file};
    CHECK(second.pool->remembered_keys() == 1025);
    CHECK(second.place("key-1024").second == "home");
}
