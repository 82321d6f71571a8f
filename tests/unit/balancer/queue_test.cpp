#include <algorithm>
#include <catch2/catch.hpp>
#include <map>
#include <random>

#include "balancer/policies/registry.hpp"
#include "balancer/pool.hpp"

using namespace buildkit_lb;
using namespace buildkit_lb::balancer;
using namespace std::chrono_literals;

namespace {

/// A pool under test, and what became of the builds that asked it.
struct stage {
    explicit stage(std::vector<worker_settings> workers, queue_settings queue = {})
        : pool_{std::make_shared<pool>("default", std::move(workers), make_policy("least-active-builds"), queue)}
    {
    }

    ~stage()
    {
        for (auto& [name, b] : builds) {
            if (b.waiting) {
                pool_->leave(*b.waiting);
            }
        }
    }
    stage(const stage&) = delete;
    stage& operator=(const stage&) = delete;

    struct build {
        std::string name;
        std::shared_ptr<waiting_build> waiting;
        std::optional<pick> chosen;
        rejection refused = rejection::none;
        std::string why;
    };

    void take(build& b, admission a)
    {
        if (a.chosen) {
            order.push_back(b.name);
        }
        b.chosen = std::move(a.chosen);
        b.refused = a.refused;
        b.why = a.why.detail;
        b.waiting = std::move(a.waiting);
    }

    build& ask(std::string name, std::string key = {}, std::string invocation = {}, bool ahead = false,
               bool waits_for_any = false)
    {
        build& b = builds.emplace(name, build{}).first->second;
        b.name = std::move(name);
        admission_request request;
        request.key = std::move(key);
        request.invocation = std::move(invocation);
        request.ahead = ahead;
        request.waits_for_any = waits_for_any;
        request.now = now;
        request.then = [this, &b](admission a) { take(b, std::move(a)); };
        request.context = context;
        take(b, pool_->admit(std::move(request)));
        return b;
    }

    void end(const std::string& name) { builds.at(name).chosen.reset(); }
    build& operator[](const std::string& name) { return builds.at(name); }
    const worker& worker_at(std::size_t index) const { return *pool_->snapshot()->workers.at(index).worker; }

    std::shared_ptr<pool> pool_;
    time_point now{};
    pick_context context;
    std::vector<std::string> order;  // in which builds got a worker
    std::map<std::string, build> builds;
};

worker_settings capped(std::string name, std::uint32_t max_builds)
{
    worker_settings s;
    s.name = std::move(name);
    s.max_builds = max_builds;
    return s;
}

using names = std::vector<std::string>;

}  // namespace

TEST_CASE("a build waits while every worker is at its cap, and gets the place of the first that ends")
{
    stage s{{capped("w1", 1), capped("w2", 1)}};
    s.ask("a");
    s.ask("b");
    auto& c = s.ask("c");
    CHECK_FALSE(c.chosen);
    REQUIRE(c.waiting);
    CHECK(c.waiting->position == 1);
    CHECK(s.pool_->queue_length() == 1);
    const auto freed = s["b"].chosen->worker();

    s.end("b");

    REQUIRE(c.chosen);
    CHECK(c.chosen->worker() == freed);
    CHECK(s.pool_->queue_length() == 0);
    CHECK(freed->active_builds() == 1);
}

TEST_CASE("with one key, or with keys of one build each, the first to come is the first served")
{
    for (const bool same : {true, false}) {
        stage s{{capped("w1", 1)}};
        for (const char* name : {"a", "b", "c", "d"}) {
            s.ask(name, same ? "k" : name);
        }
        CHECK(s["d"].waiting->position == 3);
        CHECK(s["d"].waiting->length == 3);
        for (const char* name : {"a", "b", "c", "d"}) {
            s.end(name);
        }
        CHECK(s.order == names{"a", "b", "c", "d"});
    }
}

TEST_CASE("a project with many builds does not starve a project with one")
{
    stage s{{capped("w1", 1)}};
    for (int i = 0; i < 50; ++i) {
        s.ask("big" + std::to_string(i), "big");
    }
    s.ask("small", "small");

    CHECK(s["small"].waiting->position == 2);
    s.end("big0");
    s.end("big1");
    CHECK(s.order == names{"big0", "big1", "small"});
}

TEST_CASE("a build that can't run anywhere now blocks nobody behind it")
{
    stage s{{capped("amd", 1), capped("arm", 1)}};
    s.ask("a");
    s.ask("b");
    const auto amd = s.pool_->snapshot()->workers[0].worker;
    const auto on_amd = s["a"].chosen->worker() == amd ? "a" : "b";
    s.context.excluded = {amd};  // stands for a build that only fits the other
    s.ask("wants-arm");
    s.context.excluded.clear();
    s.ask("any");

    s.end(on_amd);

    CHECK(s["any"].chosen);
    CHECK_FALSE(s["wants-arm"].chosen);
    CHECK(s["wants-arm"].waiting->position == 1);
}

TEST_CASE("a place that became free a moment ago is not a newcomer's while builds wait")
{
    stage s{{capped("w1", 1)}};
    // Ends without telling the pool: the moment between the end of a lease and its news.
    auto running = std::make_unique<lease>(s.pool_->snapshot()->workers.at(0).worker);
    auto& first = s.ask("first");
    REQUIRE(first.waiting);
    running.reset();

    auto& newcomer = s.ask("newcomer");

    CHECK(first.chosen);
    CHECK_FALSE(newcomer.chosen);
    REQUIRE(newcomer.waiting);
    CHECK(newcomer.waiting->position == 1);
}

TEST_CASE("whoever had a worker before goes ahead of the queue")
{
    stage s{{capped("w1", 1)}};
    s.ask("a");
    s.ask("b", "k");
    s.ask("again", "k", {}, true);
    CHECK(s["again"].waiting->position == 1);
    s.end("a");
    CHECK(s.order == names{"a", "again"});
}

TEST_CASE("a build that leaves the queue is not served, and those behind move up")
{
    stage s{{capped("w1", 1)}};
    s.ask("a");
    s.ask("b");
    s.ask("c");
    CHECK(s["c"].waiting->position == 2);
    s.pool_->leave(*s["b"].waiting);
    CHECK(s["c"].waiting->position == 1);
    s.end("a");
    CHECK(s.order == names{"a", "c"});
    s.pool_->leave(*s["b"].waiting);  // harmless
}

TEST_CASE("a full queue refuses, and says what to do")
{
    stage s{{capped("w1", 1)}, {.max_length = 2}};
    s.ask("a");
    s.ask("b");
    s.ask("c");
    auto& d = s.ask("d");
    CHECK(d.refused == rejection::full);
    CHECK_THAT(d.why, Catch::Contains("queue of pool default is full: 2 of at most 2"));
    CHECK_THAT(d.why, Catch::Contains("queue.max_length"));
    CHECK_THAT(d.why, Catch::Contains("w1 at its cap of 1 builds"));
}

TEST_CASE("a build that waited for too long is given up with the reason")
{
    stage s{{capped("w1", 1)}, {.timeout = 10min}};
    s.ask("a");
    auto& b = s.ask("b");
    s.now += 5min;
    auto& c = s.ask("c");
    s.pool_->expire_queue(time_point{} + 10min - 1s);
    CHECK(b.waiting);
    s.pool_->expire_queue(time_point{} + 10min);
    CHECK(b.refused == rejection::timeout);
    CHECK_THAT(b.why, Catch::Contains("no worker of pool default became free within 600 s (2 builds wait)"));
    CHECK(c.waiting->position == 1);
}

TEST_CASE("without a worker that may take builds a build fails at once with each worker's error, or waits if told so")
{
    for (const bool wait : {false, true}) {
        stage s{{capped("w1", 0), capped("w2", 0)}, {.wait_when_empty = wait}};
        s.pool_->set_health(s.worker_at(0), worker_health::down, "connection refused");
        s.pool_->set_health(s.worker_at(1), worker_health::down, "timed out");
        auto& a = s.ask("a");
        if (!wait) {
            CHECK(a.refused == rejection::no_worker);
            CHECK_THAT(a.why, Catch::Contains("w1 down: connection refused; w2 down: timed out"));
            continue;
        }
        REQUIRE(a.waiting);
        s.pool_->set_health(s.worker_at(1), worker_health::up, {});
        REQUIRE(a.chosen);
        CHECK(a.chosen->worker()->name() == "w2");
    }
}

TEST_CASE("a worker that was tried and comes back serves the build that it failed")
{
    stage s{{capped("w1", 1), capped("w2", 1)}};
    s.pool_->observe_connect_failures([](const worker&, const failure&) {});
    s.ask("a");
    const auto other = s["a"].chosen->worker()->name() == "w1" ? 1U : 0U;
    s.pool_->report_connect_failure(s.worker_at(other), failure{}, {});
    s.context.excluded = {s.pool_->snapshot()->workers[other].worker};
    auto& b = s.ask("b");
    REQUIRE(b.waiting);
    s.pool_->set_health(s.worker_at(other), worker_health::up, {});
    REQUIRE(b.chosen);
    CHECK(b.chosen->worker().get() == &s.worker_at(other));
}

TEST_CASE("a build of a stalled invocation gets a worker over its cap; another build does not")
{
    stage s{{capped("w1", 1)}};
    s.ask("a", {}, "i1");
    s.ask("x", {}, "i2");
    s.ask("b", {}, "i1");
    CHECK(s.pool_->waiting_invocations() == names{"i2", "i1"});
    CHECK(s.pool_->admit_over_cap("i1"));
    CHECK(s["b"].chosen);
    CHECK(s["b"].chosen->reason == "over-cap");
    CHECK_FALSE(s["x"].chosen);
    CHECK_FALSE(s.pool_->admit_over_cap("i1"));
    s.end("a");
    CHECK_FALSE(s["x"].chosen);  // still one at the cap
    s.end("b");
    CHECK(s["x"].chosen);
}

TEST_CASE("internal builds never queue, and a worker at its limit of them takes no more")
{
    auto settings = capped("w1", 1);
    settings.max_internal_builds = 2;
    stage s{{settings}};
    s.ask("a");
    pick_context internal;
    internal.kind = build_kind::internal;
    const auto first = s.pool_->pick_worker(internal);
    const auto second = s.pool_->pick_worker(internal);
    CHECK((first && second));
    CHECK_FALSE(s.pool_->pick_worker(internal));
    CHECK_THAT(s.pool_->explain_no_pick(internal), Catch::Contains("at its cap of"));
}

TEST_CASE("random arrivals, ends, cancels, drains, failures and links: nobody is forgotten and no cap is passed")
{
    const auto seed = GENERATE(range(1U, 21U));
    std::mt19937 random{seed};
    const auto below = [&](std::size_t n) { return std::uniform_int_distribution<std::size_t>{0, n - 1}(random); };
    stage s{{capped("w1", 1), capped("w2", 2), capped("w3", 3)}, {.max_length = 40, .wait_when_empty = true}};
    std::map<const worker*, std::uint32_t> linked;
    std::vector<std::pair<const worker*, std::optional<pick>>> children;
    std::map<std::string, std::size_t> served_before;  // builds served while it waited
    int number = 0;

    const auto check = [&] {
        bool any_free = false;
        const auto snapshot = s.pool_->snapshot();
        for (const auto& view : snapshot->workers) {
            const auto& w = *view.worker;
            REQUIRE(w.active_builds() <= std::max(w.max_builds(), w.max_builds() + linked[&w]));
            any_free |= view.health != worker_health::down && w.active_builds() < w.max_builds();
        }
        // No lost wake-up: nobody waits while somebody is free.
        REQUIRE_FALSE((any_free && s.pool_->queue_length() != 0));
    };
    const auto some = [&](auto having) {
        std::vector<std::string> all;
        for (auto& [name, b] : s.builds) {
            if (having(b)) {
                all.push_back(name);
            }
        }
        return all.empty() ? std::string{} : all[below(all.size())];
    };
    for (int step = 0; step < 2000; ++step) {
        switch (below(8)) {
            case 0:
            case 1:
            case 2: s.ask("b" + std::to_string(number++), "key" + std::to_string(below(4))); break;
            case 3:
            case 4:
                if (const auto name = some([](auto& b) { return b.chosen.has_value(); }); !name.empty()) {
                    s.end(name);
                    s.builds.erase(name);
                }
                break;
            case 5:
                if (const auto name = some([](auto& b) { return b.waiting && !b.chosen; }); !name.empty()) {
                    s.pool_->leave(*s[name].waiting);
                    s.builds.erase(name);
                }
                break;
            case 6: {
                const auto& w = s.worker_at(below(3));
                s.pool_->set_health(w, below(3) == 0 ? worker_health::down : worker_health::up, "test");
                break;
            }
            case 7:
                if (below(2) == 0 && !children.empty()) {
                    --linked[children.back().first];
                    children.pop_back();
                } else if (const auto name = some([](auto& b) { return b.chosen.has_value(); }); !name.empty()) {
                    if (auto child = s.pool_->take(s[name].chosen->worker(), {}, "linked")) {
                        ++linked[child->worker().get()];
                        children.emplace_back(child->worker().get(), std::move(child));
                    }
                }
                break;
            default: break;
        }
        check();
    }
    // Everybody who waits is served in the end.
    for (std::size_t i = 0; i < 3; ++i) {
        s.pool_->set_health(s.worker_at(i), worker_health::up, {});
    }
    children.clear();
    for (int round = 0; round < 100 && s.pool_->queue_length() != 0; ++round) {
        if (const auto name = some([](auto& b) { return b.chosen.has_value(); }); !name.empty()) {
            s.end(name);
            s.builds.erase(name);
        }
    }
    CHECK(s.pool_->queue_length() == 0);
}

TEST_CASE("no key waits longer than one turn of every other key")
{
    const auto seed = GENERATE(range(1U, 11U));
    std::mt19937 random{seed};
    stage s{{capped("w1", 1)}};
    std::map<std::string, std::map<std::string, int>> served_while;  // waiting build → key → served meanwhile
    int number = 0;
    std::map<std::string, std::string> key_of;
    std::map<std::string, std::vector<std::string>> queue_of_key;
    std::size_t seen = 0;
    const auto note_served = [&] {
        for (; seen < s.order.size(); ++seen) {
            const auto& who = s.order[seen];
            auto& mine = queue_of_key[key_of[who]];
            mine.erase(std::find(mine.begin(), mine.end(), who));
            for (auto& [key, waiting] : queue_of_key) {
                // The head of each other key: how often has this key been served since it became head?
                if (!waiting.empty() && key != key_of[who]) {
                    const int times = ++served_while[waiting.front()][key_of[who]];
                    REQUIRE(times <= 2);  // once in the turn it came in, once in its own
                }
            }
        }
    };
    for (int step = 0; step < 3000; ++step) {
        if (random() % 2 == 0 && s.pool_->queue_length() < 100) {
            const std::string name = "b" + std::to_string(number++);
            key_of[name] = random() % 4 != 0 ? "big" : "small" + std::to_string(random() % 3);
            queue_of_key[key_of[name]].push_back(name);
            s.ask(name, key_of[name]);
        } else if (!s.order.empty()) {
            s.end(s.order.back());
        }
        note_served();
    }
}

TEST_CASE("a build does not go again to workers that it was lost with, not even after a wait")
{
    stage s{{capped("w1", 1), capped("w2", 1)}};
    s.pool_->set_health(s.worker_at(0), worker_health::up, {});
    s.pool_->set_health(s.worker_at(1), worker_health::up, {});
    s.context.lost = {s.pool_->snapshot()->workers[0].worker};
    CHECK(s.ask("a").chosen->worker()->name() == "w2");
    REQUIRE(s.ask("b", {}, {}, true).waiting);
    s.pool_->serve_queue();
    CHECK_FALSE(s["b"].chosen);  // though w1 is free
    s.end("a");
    REQUIRE(s["b"].chosen);
    CHECK(s["b"].chosen->worker()->name() == "w2");

    s.context.lost.push_back(s.pool_->snapshot()->workers[1].worker);
    const auto& last = s.ask("c", {}, {}, true, true);
    CHECK(last.refused == rejection::no_worker);
    CHECK_THAT(last.why, Catch::Contains("w1 has lost this build; w2 has lost this build"));
}

TEST_CASE("a build that was lost waits for a worker that is down, where others are refused")
{
    stage s{{capped("w1", 1), capped("w2", 1)}};
    s.pool_->set_health(s.worker_at(0), worker_health::down, "refused");
    s.pool_->set_health(s.worker_at(1), worker_health::down, "refused");
    CHECK(s.ask("new").refused == rejection::no_worker);
    s.context.lost = {s.pool_->snapshot()->workers[0].worker};
    REQUIRE(s.ask("lost", {}, {}, true, true).waiting);
    s.pool_->set_health(s.worker_at(0), worker_health::up, {});
    CHECK_FALSE(s["lost"].chosen);
    s.pool_->set_health(s.worker_at(1), worker_health::up, {});
    REQUIRE(s["lost"].chosen);
    CHECK(s["lost"].chosen->worker()->name() == "w2");
}
