#include "buildkit/progress.hpp"

#include <catch2/catch.hpp>
#include <string>

#include "buildkit/grpc_framing.hpp"
#include "buildkit/wire/control.pb.h"

using namespace buildkit_lb;
using namespace buildkit_lb::buildkit;
using namespace std::chrono_literals;
using wire::control::StatusResponse;

namespace {

const wall_time start{1'700'000'000s};

StatusResponse unframed(const std::string& bytes)
{
    message_reader reader{failure_source::internal};
    std::string_view chunk{bytes};
    auto message = reader.next(chunk);
    REQUIRE(message.has_value());
    REQUIRE(message->has_value());
    CHECK_FALSE((*message)->compressed);
    CHECK(chunk.empty());
    StatusResponse response;
    REQUIRE(response.ParseFromString((*message)->payload));
    return response;
}

}  // namespace

TEST_CASE("the digest of an own vertex is a sha256 digest, fixed for a ref and a suffix")
{
    const std::string digest = progress_digest("ref1", "placed");
    CHECK(digest.size() == 7 + 64);
    CHECK(digest.starts_with("sha256:"));
    CHECK(digest.find_first_not_of("0123456789abcdef", 7) == std::string::npos);
    CHECK(digest == progress_digest("ref1", "placed"));
    CHECK(digest != progress_digest("ref2", "placed"));
    CHECK(digest != progress_digest("ref1", "queue"));
    CHECK(progress_digest("ab", "c") != progress_digest("a", "bc"));
}

TEST_CASE("the line of a pick is one finished vertex")
{
    const StatusResponse response = unframed(placed_line("ref1", "w2", "least-active-builds", start));
    REQUIRE(response.vertexes_size() == 1);
    CHECK(response.statuses_size() == 0);
    const auto& v = response.vertexes(0);
    CHECK(v.name() == "[buildkit-lb] w2 (least-active-builds)");
    CHECK(v.started().seconds() == 1'700'000'000);
    CHECK(v.completed().seconds() == 1'700'000'000);
    CHECK_FALSE(v.cached());
    CHECK_FALSE(v.has_error());
    // A build that is placed again is told so in a vertex of its own.
    const StatusResponse again = unframed(placed_line("ref1", "w3", "least-active-builds", start));
    CHECK(again.vertexes(0).digest() != v.digest());
}

TEST_CASE("the line of a restart is one finished vertex for each attempt")
{
    const StatusResponse second = unframed(restarted_line("ref1", 2, "w2", "w3", start));
    REQUIRE(second.vertexes_size() == 1);
    const auto& v = second.vertexes(0);
    CHECK(v.name() == "[buildkit-lb] w2 was lost; the build starts again on w3");
    CHECK(v.has_completed());
    CHECK_FALSE(v.has_error());
    CHECK(unframed(restarted_line("ref1", 3, "w2", "w3", start)).vertexes(0).digest() != v.digest());
}

TEST_CASE("a waiting line opens, shows rows and ends")
{
    progress_vertex waiting{"ref1", "queue", "waiting for a free worker"};
    CHECK(waiting.digest() == progress_digest("ref1", "queue"));

    const StatusResponse opened = unframed(waiting.open(start));
    REQUIRE(opened.vertexes_size() == 1);
    CHECK(opened.vertexes(0).name() == "[buildkit-lb] waiting for a free worker");
    CHECK(opened.vertexes(0).has_started());
    CHECK_FALSE(opened.vertexes(0).has_completed());

    const StatusResponse rows = unframed(waiting.rows(
        {{"position 3 of 7", start, start + 1s}, {"position 2 of 7", start + 1s, std::nullopt}}, start + 2s));
    CHECK(rows.vertexes_size() == 0);
    REQUIRE(rows.statuses_size() == 2);
    CHECK(rows.statuses(0).id() == "position 3 of 7");
    CHECK(rows.statuses(0).vertex() == waiting.digest());
    CHECK(rows.statuses(0).completed().seconds() == 1'700'000'001);
    CHECK(rows.statuses(1).started().seconds() == 1'700'000'001);
    CHECK(rows.statuses(1).timestamp().seconds() == 1'700'000'002);
    CHECK_FALSE(rows.statuses(1).has_completed());

    const StatusResponse ended =
        unframed(waiting.completed(start + 6s, {{"position 2 of 7", start + 1s, std::nullopt}}));
    REQUIRE(ended.vertexes_size() == 1);
    CHECK(ended.vertexes(0).digest() == waiting.digest());
    CHECK(ended.vertexes(0).started().seconds() == 1'700'000'000);
    CHECK(ended.vertexes(0).completed().seconds() == 1'700'000'006);
    CHECK_FALSE(ended.vertexes(0).has_error());
    REQUIRE(ended.statuses_size() == 1);
    CHECK(ended.statuses(0).completed().seconds() == 1'700'000'006);
}

TEST_CASE("a waiting line can end with an error")
{
    progress_vertex waiting{"ref1", "queue", "waiting for a free worker"};
    static_cast<void>(waiting.open(start));
    const StatusResponse ended = unframed(waiting.completed(start + 6s, {}, "timed out"));
    CHECK(ended.vertexes(0).error() == "timed out");
    CHECK(ended.vertexes(0).has_completed());
}
