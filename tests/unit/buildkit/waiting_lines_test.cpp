#include "buildkit/waiting_lines.hpp"

#include <catch2/catch.hpp>
#include <vector>

#include "buildkit/grpc_framing.hpp"
#include "buildkit/wire/control.pb.h"

using namespace buildkit_lb;
using namespace buildkit_lb::buildkit;
using namespace std::chrono_literals;

namespace {

const wall_time start{1'700'000'000s};

std::vector<std::string> read(const std::string& bytes)
{
    std::vector<std::string> lines;
    message_reader reader{failure_source::internal};
    for (std::string_view rest{bytes}; !rest.empty();) {
        const auto message = reader.next(rest);
        REQUIRE(message.has_value());
        REQUIRE(message->has_value());
        wire::control::StatusResponse response;
        REQUIRE(response.ParseFromString((*message)->payload));
        for (const auto& v : response.vertexes()) {
            lines.push_back(v.name() + (v.has_completed() ? " done" : "") + (v.has_error() ? " " + v.error() : ""));
        }
        for (const auto& r : response.statuses()) {
            lines.push_back(r.id());
        }
    }
    return lines;
}

using lines_of = std::vector<std::string>;

}  // namespace

TEST_CASE("a place in the queue is told when it changes, and again every ten seconds")
{
    waiting_lines lines{"ref"};
    CHECK(read(lines.update("waiting", {{3, 5}}, start, start)) ==
          lines_of{"[buildkit-lb] waiting", "position 3 of 5"});
    CHECK(lines.update("waiting", {{3, 5}}, start, start + 9s).empty());
    CHECK(read(lines.update("waiting", {{2, 5}}, start, start + 9s)) == lines_of{"position 2 of 5"});
    CHECK(lines.update("waiting", {{2, 5}}, start, start + 18s).empty());
    CHECK(read(lines.update("waiting", {{2, 5}}, start, start + 19s)) == lines_of{"position 2 of 5"});
    CHECK(read(lines.end(start + 20s)) == lines_of{"[buildkit-lb] waiting done"});
    CHECK(lines.end(start + 21s).empty());
}

TEST_CASE("another thing to wait for ends the step before")
{
    waiting_lines lines{"ref"};
    CHECK(lines.end(start).empty());
    CHECK(read(lines.update("first", std::nullopt, start, start)) == lines_of{"[buildkit-lb] first"});
    CHECK(read(lines.update("second", {{1, 1}}, start, start + 1s)) ==
          lines_of{"[buildkit-lb] first done", "[buildkit-lb] second", "position 1 of 1"});
    CHECK(read(lines.end(start + 2s, "no worker")) == lines_of{"[buildkit-lb] second done no worker"});
}

TEST_CASE("a point in time is written as Go reads it")
{
    CHECK(rfc3339(start + 5ms) == "2023-11-14T22:13:20.005000000Z");
}
