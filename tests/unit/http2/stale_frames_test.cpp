#include "http2/stale_frames.hpp"

#include <catch2/catch.hpp>

#include "http2/pair.hpp"

using namespace buildkit_lb;
using namespace buildkit_lb::http2;
using namespace buildkit_lb::http2::test;

TEST_CASE("Frames on closed and on skipped streams are errors, those on streams we have reset are not")
{
    stale_frames s;
    s.opened(1);
    s.opened(3);
    s.opened(9);
    s.reset(3);
    CHECK(s.newest() == 9);
    CHECK(s.judge(1) == error_code::stream_closed);
    CHECK(s.judge(3) == error_code::no_error);
    CHECK(s.judge(5) == error_code::protocol_error);
    CHECK(s.judge(7) == error_code::protocol_error);
}

TEST_CASE("Where resets have been forgotten nothing older is judged")
{
    stale_frames s;
    for (std::uint32_t id = 1; id < 6001; id += 2) {
        s.opened(id);
        if (id < 5001) {
            s.reset(id);
        }
    }
    CHECK(s.judge(1) == error_code::no_error);
    CHECK(s.judge(4001) == error_code::no_error);
    CHECK(s.judge(5003) == error_code::stream_closed);
}

TEST_CASE("What was under way when we reset a stream is ignored, headers, data and trailers")
{
    endpoint server{role::server, options{}};
    server.input(preface);
    server.input(frame(4, 0, 0, ""));
    server.refuses = GENERATE(false, true);
    server.input(frame(1, 4, 1, request_block()));
    if (!server.refuses) {
        server.e.reset(server.requests.at(0)->ref, error_code::cancel);
    }
    const bool sent = GENERATE(false, true);
    if (sent) {
        (void)server.output();
    }
    server.refuses = false;
    server.input(frame(1, 5, 3, request_block()));
    server.input(frame(0, 0, 1, "under way") + frame(1, 5, 1, request_block()));
    server.input(frame(1, 5, 5, request_block()));
    (void)server.output();
    CHECK(server.errors == 0);
    CHECK(server.requests.back()->ends == 1);
}

TEST_CASE("A stream that was refused for being one too many may be followed by its body")
{
    options one;
    one.max_concurrent_streams = 1;
    endpoint server{role::server, one};
    server.input(preface);
    server.input(frame(4, 0, 0, ""));
    server.input(frame(1, 4, 1, request_block()) + frame(1, 4, 3, request_block()));
    server.input(frame(0, 0, 3, "body"));
    (void)server.output();
    server.input(frame(3, 0, 1, std::string{"\0\0\0\x08", 4}) + frame(0, 0, 3, "body"));
    server.input(frame(1, 4, 5, request_block()) + frame(0, 0, 3, "body"));
    server.input(frame(0, 1, 3, "body"));
    (void)server.output();
    CHECK(server.errors == 0);
    CHECK(server.requests.size() == 2);
}

TEST_CASE("Frames on a stream that the client itself has closed end the connection")
{
    const bool headers = GENERATE(false, true);
    const bool at_once = GENERATE(false, true);
    endpoint server{role::server, options{}};
    server.input(preface);
    server.input(frame(4, 0, 0, ""));
    server.input(frame(1, 4, 1, request_block()));
    const std::string reset = frame(3, 0, 1, std::string{"\0\0\0\x08", 4});
    const std::string late = headers ? frame(1, 4, 1, request_block()) : frame(0, 0, 1, "x");
    if (at_once) {
        server.input(reset + late);
    } else {
        server.input(reset);
        server.input(late.substr(0, 4));
        server.input(late.substr(4));
    }
    CHECK(server.errors == 1);
    CHECK(server.error_kind == "stream_closed");
    CHECK(server.requests.at(0)->closes == 1);
}
