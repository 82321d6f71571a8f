#include "balancer/placement.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <numeric>

using namespace buildkit_lb;
using namespace buildkit_lb::balancer;
using namespace std::chrono_literals;
using kind = placement::outcome::kind;

namespace {

const time_point start{};

std::shared_ptr<worker> make_worker(std::string name)
{
    worker_settings s;
    s.name = std::move(name);
    return std::make_shared<worker>(s);
}

build_description build_of(std::string ref, std::vector<std::string> sessions = {}, bool linked = false)
{
    build_description b;
    b.ref = std::move(ref);
    b.sessions = std::move(sessions);
    b.linked = linked;
    return b;
}

void check_nothing_held(const placement& p)
{
    const auto now = p.count();
    CHECK(now.active == 0);
    CHECK(now.held_calls == 0);
    CHECK(now.held_bytes == 0);
    CHECK(now.named_sessions == 0);
}

}  // namespace

TEST_CASE("whatever the order of its calls, every call of a build goes to its worker, once and after its Solve")
{
    // 0: Solve arrives, 1: Solve is placed (always after 0), 2-4: calls that name the Ref, for each of two builds.
    const std::vector<std::shared_ptr<worker>> workers{make_worker("w1"), make_worker("w2")};
    std::vector<int> order(8);
    std::iota(order.begin(), order.end(), 0);
    int tried = 0;
    do {
        placement p{placement_limits{}};
        std::vector<std::vector<std::string>> calls(2);
        std::vector<bool> begun(2), placed(2);
        bool possible = true;
        for (const int step : order) {
            const auto b = static_cast<std::size_t>(step / 4);
            const std::string ref = "ref" + std::to_string(b);
            switch (step % 4) {
                case 0:
                    REQUIRE(p.begin(build_of(ref, {"session" + std::to_string(b)})));
                    begun[b] = true;
                    break;
                case 1:
                    if (!begun[b]) {
                        possible = false;
                        break;
                    }
                    placed[b] = true;
                    p.placed(ref, workers[b]);
                    break;
                default:
                    p.wait_for(ref, 10, start, [&, b, step](const placement::outcome& o) {
                        REQUIRE(placed[b]);
                        REQUIRE(o.what == kind::placed);
                        calls[b].push_back(std::to_string(step % 4) + "@" + o.where->name());
                    });
            }
            if (!possible) {
                break;
            }
        }
        if (!possible) {
            continue;
        }
        ++tried;
        for (std::size_t b = 0; b < 2; ++b) {
            const std::string name = workers[b]->name();
            std::sort(calls[b].begin(), calls[b].end());
            REQUIRE(calls[b] == std::vector<std::string>{"2@" + name, "3@" + name});
            p.ended("ref" + std::to_string(b));
        }
        check_nothing_held(p);
    } while (std::next_permutation(order.begin(), order.end()));
    CHECK(tried == 40320 / 4);
}

TEST_CASE("held calls are released in the order in which they came")
{
    placement p{placement_limits{}};
    std::string released;
    for (const char c : {'a', 'b', 'c', 'd'}) {
        const auto id = p.wait_for("r", 1, start, [&released, c](const auto&) { released += c; });
        if (c == 'b') {
            p.cancel_wait(id);
        }
    }
    p.begin(build_of("r"));
    p.placed("r", make_worker("w"));
    CHECK(released == "acd");
}

TEST_CASE("a Ref that runs already can't begin again, but can once it has ended")
{
    placement p{placement_limits{}};
    CHECK(p.begin(build_of("r")));
    CHECK_FALSE(p.begin(build_of("r")));
    p.placed("r", make_worker("w"));
    p.ended("r");
    CHECK(p.begin(build_of("r")));
}

TEST_CASE("calls for a finished build go to the worker that ran it, as long as it is remembered")
{
    placement_limits limits;
    limits.remembered_builds = 2;
    placement p{limits};
    const auto w = make_worker("w");
    for (const char* ref : {"r1", "r2", "r2", "r3"}) {
        p.begin(build_of(ref));
        p.placed(ref, w);
        p.ended(ref);
    }
    CHECK(p.count().remembered == 2);
    CHECK_FALSE(p.find("r1"));
    CHECK(p.find("r2") == w);
    std::vector<kind> seen;
    CHECK(p.wait_for("r3", 1, start, [&](const auto& o) { seen.push_back(o.what); }) == placement::no_wait);
    CHECK(seen == std::vector<kind>{kind::finished});
}

TEST_CASE("a call whose build does not come is told so after the hold time, one whose Solve is here waits on")
{
    placement p{placement_limits{}};
    std::vector<std::string> told;
    p.wait_for("never", 5, start, [&](const auto& o) { told.push_back(o.what == kind::unknown ? "never" : "?"); });
    p.wait_for("queued", 5, start, [&](const auto& o) { told.push_back(o.what == kind::placed ? "queued" : "?"); });
    p.begin(build_of("queued"));
    p.expire(start + 5999ms);
    CHECK(told.empty());
    p.expire(start + 6s);
    CHECK(told == std::vector<std::string>{"never"});
    p.expire(start + 1h);
    CHECK(told.size() == 1);
    p.placed("queued", make_worker("w"));
    CHECK(told.back() == "queued");
    p.ended("queued");
    check_nothing_held(p);
}

TEST_CASE("held calls are bounded in number and bytes")
{
    placement_limits limits;
    limits.held_calls = 3;
    limits.held_bytes = 100;
    placement p{limits};
    int refused = 0;
    const auto count = [&](const auto& o) { refused += o.what == kind::refused ? 1 : 0; };
    const auto big = p.wait_for("r", 90, start, count);
    p.wait_for("r", 11, start, count);
    CHECK(refused == 1);
    p.wait_for("r", 5, start, count);
    p.wait_for("r", 5, start, count);
    p.wait_for("r", 0, start, count);
    CHECK(refused == 2);
    p.cancel_wait(big);
    p.wait_for("r", 50, start, count);
    CHECK(refused == 2);
}

TEST_CASE("a build that the balancer fails ends the calls held for it with the same error")
{
    placement p{placement_limits{}};
    p.begin(build_of("r", {"s"}));
    std::string why;
    p.wait_for("r", 1, start, [&](const auto& o) { why = o.what == kind::failed ? o.why.detail : "?"; });
    failure f;
    f.detail = "no healthy worker";
    p.failed("r", f);
    CHECK(why == "no healthy worker");
    check_nothing_held(p);
}

TEST_CASE("a client that takes its Solve back before it was placed takes the held calls with it")
{
    placement p{placement_limits{}};
    p.begin(build_of("r"));
    errc code{};
    p.wait_for("r", 1, start, [&](const auto& o) { code = o.why.code; });
    p.ended("r");
    CHECK(code == errc::canceled);
    p.ended("r");
    check_nothing_held(p);
    CHECK_FALSE(p.find("r"));
}

TEST_CASE("linked builds go to their parents' worker, in any order of events")
{
    // parent placed / child begins and asks / child's inputs are read: every order.
    std::vector<int> order{0, 1, 2, 3};
    do {
        placement p{placement_limits{}};
        const auto w = make_worker("w");
        std::vector<std::string> told;
        p.begin(build_of("parent", {"ps"}));  // its LLB is an input of the child, so its Solve came before
        bool begun = false;
        bool possible = true;
        for (const int step : order) {
            switch (step) {
                case 0: p.placed("parent", w); break;
                case 1:
                    p.begin(build_of("child", {"cs"}, true));
                    begun = true;
                    break;
                case 2:
                    possible = possible && begun;
                    p.find_parent("child", [&](const auto& where) { told.push_back(where ? where->name() : "free"); });
                    break;
                case 3:
                    possible = possible && begun;
                    p.inputs_known("child", {{"ps", "cs"}, {}});
                    break;
                default: break;
            }
        }
        if (possible) {
            REQUIRE(told == std::vector<std::string>{"w"});
        }
        p.ended("parent");
        p.ended("child");
        check_nothing_held(p);
    } while (std::next_permutation(order.begin(), order.end()));
}

TEST_CASE("a linked build with several parents goes where most of them are")
{
    placement p{placement_limits{}};
    const auto w1 = make_worker("w1");
    const auto w2 = make_worker("w2");
    p.begin(build_of("a", {"sa"}));
    p.begin(build_of("b", {"sb"}));
    p.begin(build_of("c", {"sc"}));
    p.begin(build_of("child", {"own"}, true));
    placement::worker_ptr told;
    p.find_parent("child", [&](const auto& where) { told = where; });
    p.inputs_known("child", {{"sa", "sb", "sc", "own"}, {}});
    p.placed("a", w1);
    p.placed("b", w2);
    CHECK_FALSE(told);
    p.placed("c", w2);
    CHECK(told == w2);
}

TEST_CASE("a linked build is placed freely when its parents are gone or share its only session")
{
    placement p{placement_limits{}};
    bool told = false;
    placement::worker_ptr where;
    const auto note = [&](const auto& w) {
        told = true;
        where = w;
    };
    SECTION("the parent failed")
    {
        p.begin(build_of("parent", {"ps"}));
        p.begin(build_of("child", {"cs"}, true));
        p.find_parent("child", note);
        p.inputs_known("child", {{"ps"}, {}});
        CHECK_FALSE(told);
        p.failed("parent", {});
        CHECK(told);
        CHECK_FALSE(where);
    }
    SECTION("one context for all: where most builds of that context are")
    {
        const auto w = make_worker("w");
        p.begin(build_of("sibling", {"shared"}));
        p.begin(build_of("parent", {"shared"}));
        p.placed("parent", w);
        p.begin(build_of("child", {"shared"}, true));
        p.find_parent("child", note);
        p.inputs_known("child", {{"shared"}, {}});
        CHECK(told);
        CHECK(where == w);
    }
    SECTION("a chain: each waits for the one before")
    {
        const auto w = make_worker("w");
        p.begin(build_of("a", {"sa"}));
        p.begin(build_of("b", {"sb"}, true));
        p.begin(build_of("c", {"sc"}, true));
        placement::worker_ptr of_b;
        p.find_parent("c", note);
        p.inputs_known("c", {{"sa", "sb"}, {}});
        p.find_parent("b", [&](const auto& found) { of_b = found; });
        p.inputs_known("b", {{"sa"}, {}});
        CHECK_FALSE(told);
        p.placed("a", w);
        CHECK(of_b == w);
        p.placed("b", of_b);
        CHECK(where == w);
    }
}

TEST_CASE("calls that come after their build has failed fail with it at once; another build of that Ref begins anew")
{
    placement p{{}};
    REQUIRE(p.begin({"r", {}}));
    failure f;
    f.detail = "no room";
    p.failed("r", f);
    placement::outcome late;
    const auto ask = [&](const std::string& ref) {
        late = {};
        return p.wait_for(ref, 1, start, [&](const auto& o) { late = o; });
    };
    CHECK(ask("r") == placement::no_wait);
    CHECK(late.what == kind::failed);
    CHECK(late.why.detail == "no room");

    REQUIRE(p.begin({"r", {}}));
    CHECK(ask("r") != placement::no_wait);
    p.ended("r");  // taken back
    CHECK(ask("r") == placement::no_wait);
    CHECK(late.what == kind::failed);

    for (int i = 0; i < 1000; ++i) {
        const std::string other = "other" + std::to_string(i);
        REQUIRE(p.begin({other, {}}));
        p.failed(other, f);
    }
    CHECK(ask("r") != placement::no_wait);  // forgotten: only so many are kept
}

TEST_CASE("a build's remote source is told once its LLBBridge/Solve was read, whichever comes first")
{
    placement p{placement_limits{}};
    std::vector<std::string> told;
    const auto note = [&](const std::string& source) { told.push_back(source); };

    p.begin(build_of("asked first"));
    p.find_source("asked first", note);
    CHECK(told.empty());
    p.inputs_known("asked first", {{}, "a"});
    p.inputs_known("asked first", {{}, "told once only"});
    p.begin(build_of("read first"));
    p.inputs_known("read first", {{}, "b"});
    p.find_source("read first", note);
    p.inputs_known("read before it began", {{}, "c"});
    CHECK(p.count().early_inputs == 1);
    p.begin(build_of("read before it began"));
    CHECK(p.count().early_inputs == 0);
    p.find_source("read before it began", note);
    CHECK(told == std::vector<std::string>{"a", "b", "c"});

    p.find_source("nobody", note);
    p.begin(build_of("ends before"));
    p.find_source("ends before", note);
    p.ended("ends before");
    CHECK(told.size() == 3);
}

TEST_CASE("inputs that are read before their build begins tell its parents, and are bounded")
{
    placement p{placement_limits{}};
    const auto w = make_worker("w");
    p.begin(build_of("parent", {"ps"}));
    p.placed("parent", w);
    p.inputs_known("child", {{"ps"}, {}});
    p.begin(build_of("child", {"cs"}, true));
    placement::worker_ptr where;
    p.find_parent("child", [&](const auto& found) { where = found; });
    CHECK(where == w);

    for (int i = 0; i < 1000; ++i) {
        p.inputs_known("early " + std::to_string(i), {{}, std::to_string(i)});
    }
    CHECK(p.count().early_inputs == 100);
    std::string told;
    p.begin(build_of("early 999"));
    p.find_source("early 999", [&](const std::string& source) { told = source; });
    CHECK(told == "999");
    p.begin(build_of("early 0"));
    p.find_source("early 0", [&](const std::string&) { FAIL("it was to be forgotten"); });

    // Calls of a build that has ended are not about one to come.
    p.ended("parent");
    const auto before = p.count().early_inputs;
    p.inputs_known("parent", {{}, "late"});
    CHECK(p.count().early_inputs == before);
}

TEST_CASE("a build that was lost with its worker holds its calls until it is placed again")
{
    placement p{placement_limits{}};
    const auto w1 = make_worker("w1");
    const auto w2 = make_worker("w2");
    REQUIRE(p.begin(build_of("ref", {"session"})));
    p.placed("ref", w1);
    p.lost("ref");
    p.lost("unheard of");
    std::vector<placement::outcome> told;
    const auto held = p.wait_for("ref", 10, start, [&](const auto& what) { told.push_back(what); });
    CHECK(held != placement::no_wait);
    p.expire(start + 1h);
    CHECK(told.empty());
    CHECK(p.find("ref") == nullptr);
    CHECK_FALSE(p.begin(build_of("ref")));

    SECTION("on another worker")
    {
        p.placed("ref", w2);
        REQUIRE(told.size() == 1);
        CHECK(told[0].what == kind::placed);
        CHECK(told[0].where == w2);
        p.ended("ref");
        CHECK(p.find("ref") == w2);
    }
    SECTION("or is given up")
    {
        p.failed("ref", {errc::no_worker, failure_source::upstream, false, "none left"});
        REQUIRE(told.size() == 1);
        CHECK(told[0].what == kind::failed);
    }
    SECTION("or taken back by its client")
    {
        p.ended("ref");
        REQUIRE(told.size() == 1);
        CHECK(told[0].what == kind::failed);
        CHECK(told[0].why.code == errc::canceled);
    }
    check_nothing_held(p);
}

TEST_CASE("a linked build that was lost with its parents waits until these are elsewhere")
{
    placement p{placement_limits{}};
    const auto w1 = make_worker("w1");
    const auto w2 = make_worker("w2");
    REQUIRE(p.begin(build_of("parent", {"session of parent"})));
    p.placed("parent", w1);
    REQUIRE(p.begin(build_of("child", {"session of child"}, true)));
    p.inputs_known("child", {{"session of parent"}, {}});
    p.placed("child", w1);
    std::vector<std::shared_ptr<worker>> told;
    const auto tell = [&](std::shared_ptr<worker> where) { told.push_back(std::move(where)); };

    SECTION("whichever of them is lost first")
    {
        const bool child_first = GENERATE(true, false);
        p.lost(child_first ? "child" : "parent");
        if (child_first) {
            p.find_parent("child", tell, {w1});
            CHECK(told.empty());
            CHECK(p.parent_stays("child"));
            p.lost("parent");
        } else {
            p.lost("child");
            p.find_parent("child", tell, {w1});
        }
        CHECK(told.empty());
        CHECK_FALSE(p.parent_stays("child"));
        p.placed("parent", w2);
        REQUIRE(told.size() == 1);
        CHECK(told[0] == w2);
    }
    SECTION("or ended")
    {
        p.lost("child");
        p.find_parent("child", tell, {w1});
        p.ended("parent");
        REQUIRE(told.size() == 1);
        CHECK(told[0] == nullptr);
    }
    SECTION("those that were elsewhere all the time are known at once")
    {
        p.lost("child");
        p.find_parent("child", tell, {w2});
        REQUIRE(told.size() == 1);
        CHECK(told[0] == w1);
        CHECK_FALSE(p.parent_stays("child"));
    }
}
