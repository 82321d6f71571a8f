#include "balancer/policies/warmth_memory.hpp"

#include <catch2/catch.hpp>

using namespace buildkit_lb;
using namespace buildkit_lb::balancer;
using namespace std::chrono_literals;

namespace {

/// Everything a pass gives, `at_once` keys at a time.
std::vector<warm_key> copy_of(warmth_memory& memory, time_point now, std::size_t at_once = 2)
{
    std::vector<warm_key> all;
    memory.begin_copy();
    for (;;) {
        auto some = memory.take_some(at_once, now);
        const bool last = some.size() < at_once;
        std::move(some.begin(), some.end(), std::back_inserter(all));
        if (last) {
            return all;
        }
    }
}

std::vector<std::string> keys_of(const std::vector<warm_key>& all)
{
    std::vector<std::string> keys;
    for (const auto& k : all) {
        keys.push_back(k.key);
    }
    return keys;
}

std::vector<std::string> workers_of(const std::vector<warm_worker>& all)
{
    std::vector<std::string> workers;
    for (const auto& w : all) {
        workers.push_back(w.worker);
    }
    return workers;
}

const time_point start{100h};

}  // namespace

TEST_CASE("a copy of the warmth that is restored says the same as the original")
{
    warmth_memory memory{10, 24h};
    memory.built("a", "w1", 0.25, start);
    memory.built("b", "w2", 0.5, start + 1s);
    memory.built("a", "w3", 0.75, start + 2s);
    memory.built("a", "w2", 1, start + 3s);
    const auto copy = copy_of(memory, start + 4s);
    REQUIRE(keys_of(copy) == std::vector<std::string>{"b", "a"});  // a was built last

    warmth_memory restored{10, 24h};
    for (const auto& key : copy) {
        restored.restore(key, start + 5s);
    }
    CHECK(restored.size() == 2);
    const auto& a = restored.find("a", start + 5s);
    CHECK(workers_of(a) == std::vector<std::string>{"w1", "w2", "w3"});  // who was first stays first
    CHECK(a[1].built == start + 3s);
    CHECK(a[1].cached_share == 1);
    CHECK(keys_of(copy_of(restored, start + 5s)) == keys_of(copy));
}

TEST_CASE("what is cold, has no worker, or is over the bounds is not restored")
{
    warmth_memory memory{2, 24h};
    memory.restore({"cold", {{"w1", start - 24h, 0}}}, start);
    memory.restore({"none", {}}, start);
    CHECK(memory.size() == 0);
    memory.restore({"half", {{"w1", start - 25h, 0}, {"w2", start - 23h, 0}}}, start);
    CHECK(workers_of(memory.find("half", start)) == std::vector<std::string>{"w2"});
    memory.restore({"b", {{"w1", start, 0}}}, start);
    memory.restore({"c", {{"w1", start, 0}}}, start);
    CHECK(memory.size() == 2);
    CHECK(memory.find("half", start).empty());  // the oldest goes

    warm_key many{"many", {}};
    for (int i = 0; i < 20; ++i) {
        many.workers.push_back({"w" + std::to_string(i), start, 0});
    }
    memory.restore(many, start);
    CHECK(memory.find("many", start).size() == warmth_memory::max_workers);
    warmth_memory off{0, 24h};
    off.restore({"a", {{"w1", start, 0}}}, start);
    CHECK(off.size() == 0);
}

TEST_CASE("a key that is named twice is restored once")
{
    warmth_memory memory{10, 24h};
    memory.restore({"a", {{"w1", start, 0}}}, start);
    memory.restore({"a", {{"w2", start, 0}}}, start);
    CHECK(memory.size() == 1);
    CHECK(keys_of(copy_of(memory, start)).size() == 1);
}

TEST_CASE("keys are built and forgotten in the middle of a copy, and none of the others is missed")
{
    warmth_memory memory{4, 24h};
    for (const char* key : {"a", "b", "c", "d"}) {
        memory.built(key, "w1", 0, start);
    }
    memory.begin_copy();
    CHECK(keys_of(memory.take_some(1, start)) == std::vector<std::string>{"a"});
    memory.built("b", "w2", 0, start + 1s);    // the next one goes to the end
    memory.built("new", "w1", 0, start + 1s);  // forgets a
    CHECK(keys_of(memory.take_some(1, start)) == std::vector<std::string>{"c"});
    memory.built("new2", "w1", 0, start + 2s);  // forgets c, which was the last that was taken
    memory.built("new3", "w1", 0, start + 2s);  // forgets d, which was to be the next
    CHECK(keys_of(memory.take_some(10, start)) == std::vector<std::string>{"b", "new", "new2", "new3"});
    CHECK(memory.take_some(10, start).empty());
}

TEST_CASE("builds are changes, looking and restoring are none")
{
    warmth_memory memory{4, 24h};
    memory.restore({"a", {{"w1", start, 0}}}, start);
    memory.find("a", start);
    CHECK(memory.changes() == 0);
    memory.built("a", "w1", 0, start);
    CHECK(memory.changes() == 1);
}
