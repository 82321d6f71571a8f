#include "buildkit/build_recording.hpp"

#include <catch2/catch.hpp>
#include <set>
#include <string>
#include <vector>

using namespace buildkit_lb;
using namespace buildkit_lb::buildkit;

namespace {

using texts = std::vector<std::string>;
constexpr std::size_t plenty = std::size_t{1} << 20;

texts solves_of(const build_recording& recording)
{
    texts all;
    for (const auto& s : recording.to_solve_again()) {
        all.push_back(*s.request);
    }
    return all;
}

build_recording::shared_text text(std::string bytes)
{
    return std::make_shared<const std::string>(std::move(bytes));
}

/// One thing that happens in a build: a call begins, is answered, or ends otherwise.
struct step {
    enum class what { begins, is_answered, is_dropped } happens;
    method kind;
    std::string request;
};

}  // namespace

TEST_CASE("at every moment of a build, what another worker must be asked is what was answered and what is in flight")
{
    using what = step::what;
    const std::vector<step> build{
        {what::begins, method::llb_solve, "s1"},      {what::is_answered, method::llb_solve, "s1"},
        {what::begins, method::llb_ref, "read"},      {what::begins, method::llb_solve, "s2"},
        {what::begins, method::llb_solve, "s3"},      {what::begins, method::llb_question, "warn"},
        {what::is_answered, method::llb_solve, "s3"}, {what::is_answered, method::llb_question, "warn"},
        {what::is_answered, method::llb_ref, "read"}, {what::is_answered, method::llb_solve, "s2"},
        {what::begins, method::llb_solve, "bad"},     {what::is_dropped, method::llb_solve, "bad"},
        {what::begins, method::llb_return, "ret"},    {what::is_answered, method::llb_return, "ret"},
        {what::begins, method::llb_question, "late"},
    };
    for (std::size_t lost_after = 0; lost_after <= build.size(); ++lost_after) {
        CAPTURE(lost_after);
        recording_budget budget{plenty};
        build_recording recording{"solve", plenty, budget};
        std::map<std::string, build_recording::call_id> ids;
        texts sent;
        std::set<std::string> answered_solves;
        std::set<std::string> in_flight;
        bool returned = false;
        for (std::size_t i = 0; i < lost_after; ++i) {
            const auto& [happens, kind, request] = build[i];
            switch (happens) {
                case what::begins:
                    ids[request] = recording.begin(kind, text(request));
                    sent.push_back(request);
                    in_flight.insert(request);
                    break;
                case what::is_answered:
                    recording.answered(ids[request], {{"ref", "of " + request}});
                    in_flight.erase(request);
                    if (kind == method::llb_solve) {
                        answered_solves.insert(request);
                    }
                    returned = returned || kind == method::llb_return;
                    break;
                case what::is_dropped:
                    recording.dropped(ids[request]);
                    in_flight.erase(request);
                    break;
            }
        }
        CHECK(recording.solve() == "solve");
        texts expected;
        for (const auto& request : sent) {
            if (answered_solves.contains(request)) {
                expected.push_back(request);
            }
        }
        CHECK(solves_of(recording) == expected);
        for (const auto& s : recording.to_solve_again()) {
            CHECK(s.refs == std::vector<placed_ref>{{"ref", "of " + *s.request}});
        }
        // What is in flight is counted as long as it is, and not repeated from here.
        const auto with = recording.bytes();
        for (const auto& request : in_flight) {
            recording.dropped(ids[request]);
        }
        CHECK((recording.bytes() < with) == !in_flight.empty());
        CHECK(solves_of(recording) == expected);
        CHECK((recording.returned() != nullptr) == returned);
        if (returned) {
            CHECK(*recording.returned() == "ret");
        }
    }
}

TEST_CASE("a call that was answered before keeps its first refs: they are what the client knows")
{
    recording_budget budget{plenty};
    build_recording recording{"solve", plenty, budget};
    const auto id = recording.begin(method::llb_solve, text("s"));
    recording.answered(id, {{"ref", "first"}});
    recording.answered(id, {{"ref", "second"}});
    recording.dropped(id);
    REQUIRE(recording.to_solve_again().size() == 1);
    CHECK(recording.to_solve_again()[0].refs[0].id == "first");
}

TEST_CASE("what has been answered and need not be repeated costs nothing any more")
{
    recording_budget budget{plenty};
    build_recording recording{"solve", plenty, budget};
    const auto before = recording.bytes();
    for (int i = 0; i < 1000; ++i) {
        recording.answered(recording.begin(method::llb_ref, text(std::string(1000, 'r'))));
        recording.dropped(recording.begin(method::llb_solve, text(std::string(1000, 's'))));
    }
    CHECK(recording.bytes() == before);
}

TEST_CASE("over its limit a recording keeps nothing, and stays so")
{
    constexpr std::size_t limit = 10'000;
    recording_budget budget{plenty};
    build_recording recording{"solve", limit, budget};
    const auto first = recording.begin(method::llb_solve, text("s"));
    recording.answered(first, {{"ref", "r"}});

    SECTION("by one large request")
    {
        recording.begin(method::llb_ref, text(std::string(limit, 'x')));
    }
    SECTION("by many small ones")
    {
        for (int i = 0; i < 100 && !recording.over_limit(); ++i) {
            recording.answered(recording.begin(method::llb_solve, text("s")));
        }
    }
    SECTION("by what a worker answers")
    {
        recording.answered(recording.begin(method::llb_solve, text("s")), {{std::string(limit, 'p'), "r"}});
    }
    SECTION("by its Return")
    {
        recording.answered(recording.begin(method::llb_return, text(std::string(limit, 'x'))));
    }

    REQUIRE(recording.over_limit());
    CHECK(recording.bytes() == 0);
    CHECK(recording.solve().empty());
    CHECK(recording.to_solve_again().empty());
    CHECK(recording.returned() == nullptr);
    const auto late = recording.begin(method::llb_solve, text("s"));
    recording.answered(late);
    recording.answered(first);
    recording.dropped(late);
    CHECK(recording.over_limit());
    CHECK(recording.to_solve_again().empty());
}

TEST_CASE("a Solve above the limit is over it from the start")
{
    recording_budget budget{plenty};
    CHECK(build_recording{std::string(2000, 's'), 1000, budget}.over_limit());
    CHECK_FALSE(build_recording{std::string(500, 's'), 1000, budget}.over_limit());
    CHECK(budget.used == 0);
}

TEST_CASE("the builds of one client have one budget: who finds it used up is over its limit, the others are not")
{
    std::atomic<std::size_t> of_all = 5;
    recording_budget budget{10'000, 0, &of_all};
    const build_recording first{std::string(6000, 's'), plenty, budget};
    {
        const build_recording second{std::string(6000, 's'), plenty, budget};
        CHECK(second.over_limit());
        CHECK_FALSE(first.over_limit());
        CHECK(budget.used == first.bytes());
        CHECK(of_all == 5 + first.bytes());
        build_recording third{"small", plenty, budget};
        CHECK_FALSE(third.over_limit());
        third.begin(method::llb_ref, text(std::string(6000, 'r')));
        CHECK(third.over_limit());
    }
    CHECK(budget.used == first.bytes());
}
