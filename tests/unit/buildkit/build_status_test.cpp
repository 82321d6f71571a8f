#include "buildkit/build_status.hpp"

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

/// Adds a vertex; times in seconds after `start`, negative: absent.
wire::control::Vertex& vertex(StatusResponse& response, const std::string& digest, int started, int completed = -1)
{
    auto& v = *response.add_vertexes();
    v.set_digest(digest);
    v.set_name("step " + digest);
    if (started >= 0) {
        write_timestamp(start + std::chrono::seconds{started}, *v.mutable_started());
    }
    if (completed >= 0) {
        write_timestamp(start + std::chrono::seconds{completed}, *v.mutable_completed());
    }
    return v;
}

void feed(build_status& status, const StatusResponse& response, wall_time now = start)
{
    REQUIRE(status.feed(response.SerializeAsString(), now).has_value());
}

StatusResponse unframed(const std::string& bytes)
{
    message_reader reader{failure_source::internal};
    std::string_view chunk{bytes};
    auto message = reader.next(chunk);
    REQUIRE(message.has_value());
    REQUIRE(message->has_value());
    CHECK(chunk.empty());
    StatusResponse response;
    REQUIRE(response.ParseFromString((*message)->payload));
    return response;
}

}  // namespace

TEST_CASE("steps are counted by digest as BuildKit's history counts them")
{
    build_status status;
    StatusResponse first;
    vertex(first, "a", -1);
    vertex(first, "b", -1);
    vertex(first, "c", 1);
    feed(status, first, start + 1s);
    CHECK(status.totals().total == 3);
    CHECK(status.totals().completed == 0);
    CHECK(status.totals().open == 1);

    StatusResponse second;
    vertex(second, "c", 1, 2);
    vertex(second, "a", 2, 3).set_cached(true);
    vertex(second, "d", 3, 4).set_name("[internal] load build definition");
    feed(status, second, start + 5s);
    feed(status, second, start + 6s);  // said again: counted once
    const status_totals& totals = status.totals();
    CHECK(totals.total == 4);
    CHECK(totals.completed == 3);
    CHECK(totals.cached == 1);
    CHECK(totals.executed == 2);
    CHECK(totals.open == 0);
    CHECK(totals.errors == 0);
    CHECK(totals.messages == 3);
    CHECK(totals.first_started == start + 1s);
    CHECK(totals.last_message == start + 6s);
    CHECK_FALSE(totals.overflow);

    StatusResponse late;  // a vertex that began before the others is told last
    vertex(late, "e", 0, 1);
    feed(status, late);
    CHECK(status.totals().first_started == start);
}

TEST_CASE("a step that turns out to be cached after its end is no cache miss")
{
    build_status status;
    StatusResponse response;
    vertex(response, "a", 1, 2);
    feed(status, response);
    CHECK(status.totals().executed == 1);
    StatusResponse again;
    vertex(again, "a", 1, 2).set_cached(true);
    feed(status, again);
    CHECK(status.totals().executed == 0);
    CHECK(status.totals().cached == 1);
    CHECK(status.totals().completed == 1);
}

TEST_CASE("a cached step without an end counts as cached and not as completed")
{
    build_status status;
    StatusResponse response;
    vertex(response, "a", -1).set_cached(true);
    feed(status, response);
    CHECK(status.totals().cached == 1);
    CHECK(status.totals().completed == 0);
    CHECK(status.totals().executed == 0);
}

TEST_CASE("a step that starts again is open again, and a bare repetition changes nothing")
{
    build_status status;
    StatusResponse response;
    vertex(response, "a", 1);
    vertex(response, "a", -1);
    feed(status, response);
    CHECK(status.totals().open == 1);
    response.Clear();
    vertex(response, "a", 1, 2);
    vertex(response, "a", 3);
    feed(status, response);
    CHECK(status.totals().open == 1);
    CHECK(status.totals().completed == 1);
    response.Clear();
    vertex(response, "a", 3, 4);
    feed(status, response);
    CHECK(status.totals().open == 0);
    CHECK(status.totals().completed == 1);
}

TEST_CASE("errors and warnings are counted")
{
    build_status status;
    StatusResponse response;
    vertex(response, "a", 1, 2).set_error("exit code: 1");
    response.add_warnings()->set_vertex("a");
    feed(status, response);
    feed(status, response);
    CHECK(status.totals().errors == 1);
    CHECK(status.totals().completed == 1);
    CHECK(status.totals().warnings == 2);
}

TEST_CASE("vertices over the bound are not kept and are said to be missing")
{
    build_status status{2};
    StatusResponse response;
    vertex(response, "a", 1);
    vertex(response, "b", 1, 2);
    vertex(response, "c", 1);
    vertex(response, "a", 1, 3);
    feed(status, response);
    CHECK(status.totals().total == 2);
    CHECK(status.totals().completed == 2);
    CHECK(status.totals().open == 0);
    CHECK(status.totals().overflow);

    build_status other;
    response.Clear();
    vertex(response, std::string(300, 'd'), 1);
    feed(other, response);
    CHECK(other.totals().total == 0);
    CHECK(other.totals().overflow);
}

TEST_CASE("a malformed status is an error and what came before it stays counted")
{
    build_status status;
    StatusResponse response;
    vertex(response, "a", 1, 2);
    const std::string good = response.SerializeAsString();
    for (const std::string tail :
         {"\x0a\x05", "\x0a\x02\x0a\x05", "\x0a\x04\x2a\x02\x0a\x01", "\x0a\x02\x20", "\xff"}) {
        const auto fed = status.feed(good + tail, start);
        REQUIRE_FALSE(fed.has_value());
        CHECK(fed.error().code == errc::protocol);
        CHECK(fed.error().source == failure_source::upstream);
    }
    CHECK(status.totals().completed == 1);
    CHECK(status.totals().total == 1);
}

TEST_CASE("open vertices of a lost worker are closed with all they carried and without an error")
{
    build_status status;
    StatusResponse response;
    auto& open = vertex(response, "a", 1);
    open.add_inputs("b");
    open.mutable_progressgroup()->set_id("group");
    open.set_error("told before its end");
    vertex(response, "b", 1, 2);
    vertex(response, "c", -1);
    feed(status, response);

    const StatusResponse closing = unframed(status.close_open(start + 9s));
    REQUIRE(closing.vertexes_size() == 1);
    const auto& closed = closing.vertexes(0);
    CHECK(closed.digest() == "a");
    CHECK(closed.name() == "step a");
    CHECK(closed.inputs(0) == "b");
    CHECK(closed.progressgroup().id() == "group");
    CHECK(closed.started().seconds() == 1'700'000'001);
    CHECK(closed.completed().seconds() == 1'700'000'009);
    CHECK_FALSE(closed.has_error());

    CHECK(status.totals().open == 0);
    CHECK(status.totals().completed == 1);
    CHECK(status.close_open(start + 10s).empty());

    // The next worker starts the same step anew.
    response.Clear();
    vertex(response, "a", 10, 11);
    feed(status, response);
    CHECK(status.totals().completed == 2);
    CHECK(status.totals().total == 3);
}

TEST_CASE("what is kept of open vertices is bounded")
{
    build_status status;
    StatusResponse response;
    for (int i = 0; i < 10; ++i) {
        vertex(response, "v" + std::to_string(i), 1).set_name(std::string(1 << 20, 'n'));
    }
    feed(status, response);
    CHECK(status.totals().open == 10);
    CHECK(unframed(status.close_open(start)).vertexes_size() == 3);
    CHECK(status.totals().open == 0);

    // Ended ones give their room back.
    for (int i = 0; i < 10; ++i) {
        response.Clear();
        vertex(response, "w" + std::to_string(i), 1).set_name(std::string(1 << 20, 'n'));
        feed(status, response);
        response.Clear();
        vertex(response, "w" + std::to_string(i), 1, 2);
        feed(status, response);
    }
    response.Clear();
    vertex(response, "x", 1).set_name(std::string(1 << 20, 'n'));
    feed(status, response);
    CHECK(unframed(status.close_open(start)).vertexes_size() == 1);
}

TEST_CASE("times go to the wire and back to the nanosecond, and impossible ones are bent")
{
    for (const wall_time time : {start + 123456789ns, wall_time{}, wall_time{} - 1ns, wall_time{} - 1500ms}) {
        wire::types::Timestamp stamp;
        write_timestamp(time, stamp);
        CHECK(stamp.nanos() >= 0);
        CHECK(stamp.nanos() < 1'000'000'000);
        std::optional<wall_time> back;
        REQUIRE(read_timestamp(stamp.SerializeAsString(), back));
        CHECK(back == time);
    }
    wire::types::Timestamp stamp;
    stamp.set_seconds(INT64_MAX);
    stamp.set_nanos(INT32_MAX);
    std::optional<wall_time> time;
    REQUIRE(read_timestamp(stamp.SerializeAsString(), time));
    CHECK(time > start);
    stamp.set_seconds(INT64_MIN);
    stamp.set_nanos(INT32_MIN);
    REQUIRE(read_timestamp(stamp.SerializeAsString(), time));
    CHECK(time < start);
    CHECK_FALSE(read_timestamp("\x0a\x01x", time));
}
