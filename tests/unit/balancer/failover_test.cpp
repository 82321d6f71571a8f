#include "balancer/failover.hpp"

#include <catch2/catch.hpp>
#include <optional>
#include <set>
#include <string>

using namespace buildkit_lb;
using namespace buildkit_lb::balancer;
using verdict = failover::verdict;
using outcome = failover::outcome;

namespace {

failover_settings at_most(std::uint32_t attempts)
{
    failover_settings settings;
    settings.attempts = attempts;
    return settings;
}

failover::moment moment_of(unsigned flags)
{
    return {.client_left = (flags & 1U) != 0,
            .client_failed = (flags & 2U) != 0,
            .session_gone = (flags & 4U) != 0,
            .uploaded = (flags & 8U) != 0};
}

constexpr unrepeatable all_reasons[] = {unrepeatable::over_limit,   unrepeatable::called_elsewhere,
                                        unrepeatable::unknown_call, unrepeatable::container,
                                        unrepeatable::upload,       unrepeatable::session_gone};

}  // namespace

TEST_CASE("a lost build starts again, unless it can't, may not, or nobody wants it any more")
{
    for (const std::uint32_t attempts : {0U, 1U, 2U}) {
        for (std::size_t noted = 0; noted <= std::size(all_reasons); ++noted) {
            for (unsigned flags = 0; flags < 16; ++flags) {
                const auto now = moment_of(flags);
                CAPTURE(attempts, noted, now.client_left, now.client_failed, now.session_gone, now.uploaded);
                failover rules{at_most(attempts)};
                if (noted != std::size(all_reasons)) {
                    rules.note(all_reasons[noted]);
                }
                const auto made = rules.lost("w1", "reset", now);
                const bool can = noted == std::size(all_reasons) && !now.session_gone && !now.uploaded;
                if (now.client_left) {
                    CHECK(made.what == verdict::pass_on);
                    CHECK(made.counted == outcome::none);
                    CHECK(rules.lost_workers().empty());
                    continue;
                }
                CHECK(made.what == (can && attempts > 0 ? verdict::restart : verdict::fail));
                CHECK(made.counted == (can && attempts > 0 ? outcome::restarted : outcome::refused));
                CHECK_THAT(made.why, Catch::StartsWith("worker w1 was lost: reset"));
                CHECK(rules.lost_workers() == std::vector<std::string>{"w1"});
                if (!can && attempts > 0) {
                    CHECK_THAT(made.why, Catch::Contains("can't start again elsewhere: "));
                }
            }
        }
    }
}

TEST_CASE("CANCELED is a loss only while the client and its sessions are there; any other answer is the build's own")
{
    for (const bool cancelled : {false, true}) {
        for (unsigned flags = 0; flags < 16; ++flags) {
            const auto now = moment_of(flags);
            CAPTURE(cancelled, now.client_left, now.client_failed, now.session_gone, now.uploaded);
            failover rules{at_most(2)};
            const auto made = rules.answered("w1", cancelled, now);
            if (!cancelled || now.client_left || now.client_failed || now.session_gone) {
                CHECK(made.what == verdict::pass_on);
                CHECK(rules.lost_workers().empty());
                CHECK(rules.attempts() == 1);
            } else {
                CHECK(made.what == (now.uploaded ? verdict::fail : verdict::restart));
                CHECK_THAT(made.why, Catch::StartsWith("worker w1 was lost: it cancelled the build"));
            }
        }
    }
}

TEST_CASE("without failover CANCELED passes on as it always did")
{
    failover rules{at_most(0)};
    CHECK(rules.answered("w1", true, {}).what == verdict::pass_on);
}

TEST_CASE("a build that goes on losing workers fails in the end and names them")
{
    failover rules{at_most(2)};
    CHECK(rules.attempts() == 1);
    CHECK(rules.lost("w1", "reset", {}).what == verdict::restart);
    CHECK(rules.attempts() == 2);
    CHECK(rules.answered("w2", true, {}).what == verdict::restart);
    CHECK(rules.attempts() == 3);
    const auto last = rules.lost("w3", "", {});
    CHECK(last.what == verdict::fail);
    CHECK(last.counted == outcome::exhausted);
    CHECK_THAT(last.why, Catch::Contains("lost 3 workers (w1, w2, w3)") && Catch::Contains("failover.attempts: 2"));
    CHECK(rules.attempts() == 3);
    CHECK(rules.lost_workers() == std::vector<std::string>{"w1", "w2", "w3"});
}

TEST_CASE("the first thing that can't be undone is the one that is told")
{
    failover rules{at_most(2)};
    rules.note(unrepeatable::container);
    rules.note(unrepeatable::over_limit);
    CHECK_THAT(rules.lost("w1", "", {}).why, Catch::Contains("container"));
}

TEST_CASE("something that can't be undone after a restart ends the next loss")
{
    failover rules{at_most(2)};
    REQUIRE(rules.lost("w1", "", {}).what == verdict::restart);
    CHECK(rules.lost("w2", "", {.session_gone = true}).what == verdict::fail);
}

TEST_CASE("every reason and every outcome has words of its own")
{
    std::set<std::string_view> told;
    for (const auto reason : all_reasons) {
        told.insert(describe(reason));
    }
    CHECK(told.size() == std::size(all_reasons));
    CHECK(to_string(outcome::restarted) == "restarted");
    CHECK(to_string(outcome::exhausted) == "exhausted");
    CHECK(to_string(outcome::refused) == "refused");
}
