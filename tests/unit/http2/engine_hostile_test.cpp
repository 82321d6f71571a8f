#include <catch2/catch.hpp>
#include <chrono>
#include <functional>
#include <iterator>
#include <random>

#include "http2/pair.hpp"

using namespace buildkit_lb;
using namespace buildkit_lb::http2;
using namespace buildkit_lb::http2::test;

namespace {

struct victim {
    endpoint server;

    explicit victim(const options& limits = {}) : server{role::server, limits}
    {
        server.input(preface);
        server.input(frame(4, 0, 0, ""));
        (void)server.output();
    }
    /// What the server says next: its GOAWAY's code, or -1.
    int goaway()
    {
        const std::string out = server.output();
        for (std::size_t at = 0; at + 17 <= out.size();) {
            const auto length = static_cast<std::size_t>(static_cast<unsigned char>(out[at])) << 16 |
                                static_cast<std::size_t>(static_cast<unsigned char>(out[at + 1])) << 8 |
                                static_cast<unsigned char>(out[at + 2]);
            if (out[at + 3] == 7) {
                return out[at + 16];
            }
            at += 9 + length;
        }
        return -1;
    }
};

}  // namespace

TEST_CASE("A wrong preface ends the connection")
{
    const std::string wrong = GENERATE(std::string{"GET / HTTP/1.1\r\nHost: x\r\n\r\n"}, std::string(24, '\0'),
                                       std::string{preface.substr(0, 23)} + "x", pattern(100));
    endpoint server{role::server, options{}};
    server.input(wrong);
    CHECK(server.errors == 1);
    CHECK(server.error_kind == "bad_preface");
    CHECK(server.e.failed());
    (void)server.output();
    CHECK(server.e.finished());
}

TEST_CASE("A frame above the allowed size ends the connection")
{
    victim v;
    const int type = GENERATE(0, 1, 9, 6, 4);
    v.server.input(frame(1, 4, 1, request_block()));
    v.server.input(frame(type, 0, 1, std::string(16385, 'x')));
    CHECK(v.goaway() > 0);
    CHECK(v.server.errors == 1);
    REQUIRE(v.server.requests.size() == 1);
    CHECK(v.server.requests[0]->log == "RC");
    CHECK(v.server.requests[0]->reset->source == reset_source::connection);
}

TEST_CASE("More DATA than the window allows ends the stream or the connection")
{
    options small;
    small.initial_stream_window = 1000;
    victim v{small};
    v.server.consumes = false;
    v.server.input(frame(4, 1, 0, ""));  // our SETTINGS are acknowledged
    v.server.input(frame(1, 4, 1, request_block()));
    v.server.input(frame(0, 0, 1, std::string(1000, 'x')));
    CHECK(v.server.requests.at(0)->body.size() == 1000);
    v.server.input(frame(0, 0, 1, "x"));
    const std::string out = v.server.output();
    CHECK(
        (v.server.errors == 1 || out.find(std::string{"\0\0\x04\x03\0\0\0\0\x01\0\0\0\x03", 13}) != std::string::npos));
    CHECK(v.server.requests[0]->body.size() <= 1001);
    CHECK(v.server.requests[0]->ends == 0);
    CHECK(v.server.requests[0]->closes == 1);
    CHECK(v.server.e.buffered() == 0);
}

TEST_CASE("A window that overflows is a flow control error")
{
    victim v;
    v.server.input(frame(8, 0, 0, "\x7f\xff\xff\xff"));
    CHECK(v.goaway() == 3);
    CHECK(v.server.error_kind == "flow_control_error");
}

TEST_CASE("Streams above the advertised number are refused")
{
    options two;
    two.max_concurrent_streams = 2;
    victim v{two};
    v.server.input(frame(4, 1, 0, ""));
    for (std::uint32_t id = 1; id <= 5; id += 2) {
        v.server.input(frame(1, 4, id, request_block()));
    }
    CHECK(v.server.requests.size() == 2);
}

TEST_CASE("A peer that floods without reading is given up")
{
    options limits;
    limits.floods.pings = limits.floods.settings = 1e6;
    limits.max_outbound_acks = 500;
    victim v{limits};
    const std::string one = GENERATE(frame(6, 0, 0, "12345678"), frame(4, 0, 0, ""));
    int sent = 0;
    while (sent < 2000 && v.server.errors == 0) {
        v.server.input(one);
        ++sent;
    }
    CHECK(v.server.error_kind == "ack_flood");
    CHECK(sent <= 502);
    CHECK(v.goaway() == 0xb);
}

TEST_CASE("SETTINGS with too many entries end the connection")
{
    victim v;
    std::string entries;
    for (int i = 0; i < 33; ++i) {
        entries += std::string{"\0\x04\0\0\xff\xff", 6};
    }
    v.server.input(frame(4, 0, 0, entries));
    CHECK(v.goaway() == 0xb);
    CHECK(v.server.error_kind == "enhance_your_calm");
}

namespace {

time_point frozen_now{std::chrono::hours{1}};
time_point frozen() noexcept
{
    return frozen_now;
}

/// Ten of each kind at once.
options ten_at_once()
{
    options limits;
    limits.now = &frozen;
    limits.floods = {.resets = 1,
                     .pings = 1,
                     .settings = 1,
                     .window_updates = 1,
                     .priorities = 1,
                     .empty_frames = 1,
                     .burst_seconds = 10};
    return limits;
}

struct attack {
    const char* kind;
    std::function<std::string(std::uint32_t id)> round;  // `id`: of a stream that is new
    bool seen_late = false;  // nghttp2 tells of the reset only once it is sent: streams bound those who read nothing
};

std::string opened(std::uint32_t id, int flags = 4)
{
    return frame(1, flags, id, request_block());
}

const attack attacks[] = {
    {"ping_flood", [](std::uint32_t) { return frame(6, 0, 0, "12345678"); }},
    {"ping_flood", [](std::uint32_t) { return frame(6, 1, 0, "12345678"); }},
    {"settings_flood", [](std::uint32_t) { return frame(4, 0, 0, ""); }},
    {"window_update_flood", [](std::uint32_t) { return frame(8, 0, 0, std::string{"\0\0\0\1", 4}); }},
    {"window_update_flood", [](std::uint32_t) { return frame(8, 0, 1, std::string{"\0\0\0\1", 4}); }},
    {"priority_flood", [](std::uint32_t) { return frame(2, 0, 1, std::string{"\0\0\0\3\1", 5}); }},
    {"priority_flood", [](std::uint32_t id) { return frame(2, 0, id + 1000, std::string{"\0\0\0\0\1", 5}); }},
    {"priority_flood", [](std::uint32_t) { return frame(0xfa, 0, 0, "what is it?"); }},
    {"priority_flood", [](std::uint32_t) { return frame(7, 0, 0, std::string(8, '\0')); }},
    {"empty_frame_flood", [](std::uint32_t) { return frame(0, 0, 1, ""); }},
    {"empty_frame_flood", [](std::uint32_t) { return frame(0, 8, 1, std::string{"\xc8"} + std::string(200, '\0')); }},
    // CVE-2023-44487, and what makes us reset: a window that overflows, a malformed request, a stream above the limit.
    {"reset_flood", [](std::uint32_t id) { return opened(id) + frame(3, 0, id, std::string{"\0\0\0\x08", 4}); }},
    {"reset_flood", [](std::uint32_t id) { return opened(id) + frame(8, 0, id, "\x7f\xff\xff\xff"); }},
    {"reset_flood",
     [](std::uint32_t id) {
         return frame(1, 4, id,
                      "\x82\x86\x84"
                      "\x42\x01x");
     }},
    {"reset_flood",
     [](std::uint32_t id) {
         return frame(1, 4, id, request_block() + std::string{"\x0f\x0d\x01\x31"}) + frame(0, 1, id, "22");
     },
     true},
};

}  // namespace

TEST_CASE("A peer that sends too much of what carries nothing is given up, whether it reads or not")
{
    const auto& [kind, round, seen_late] = attacks[GENERATE(range(std::size_t{0}, std::size(attacks)))];
    const bool reads = GENERATE(true, false);
    const bool cut = GENERATE(false, true);
    CAPTURE(kind, reads, cut);
    options limits = ten_at_once();
    limits.floods.window_updates *= kind == std::string_view{"reset_flood"} ? 10 : 1;  // some use both
    victim v{limits};
    v.server.input(opened(1));
    std::uint32_t id = 3;
    for (; id < 200 && v.server.errors == 0; id += 2) {
        const std::string bytes = round(id);
        for (std::size_t at = 0; at < bytes.size(); at += cut ? 5 : bytes.size()) {
            v.server.input(std::string_view{bytes}.substr(at, cut ? 5 : bytes.size()));
        }
        if (reads) {
            (void)v.server.output();
        }
    }
    if (seen_late && !reads) {
        CHECK(v.server.errors == 0);
        (void)v.server.output();
    } else {
        CHECK(v.server.requests.size() <= 13);
        CHECK(id <= 3 + 2 * 13);
    }
    CHECK(v.server.error_kind == kind);
    CHECK(v.server.error_code_seen == error_code::enhance_your_calm);
    for (const auto& r : v.server.requests) {
        CHECK(r->closes == 1);
    }
}

TEST_CASE("The GOAWAY of a flood says ENHANCE_YOUR_CALM")
{
    victim v{ten_at_once()};
    for (int i = 0; i < 11; ++i) {
        CHECK(v.server.errors == 0);
        v.server.input(frame(8, 0, 0, std::string{"\0\0\0\1", 4}));
    }
    CHECK(v.goaway() == 0xb);
    (void)v.server.output();
    CHECK(v.server.e.finished());
}

TEST_CASE("A slow rate is no flood")
{
    victim v{ten_at_once()};
    for (int i = 0; i < 100; ++i) {
        frozen_now += std::chrono::seconds{1};
        v.server.input(frame(6, 0, 0, "12345678"));
    }
    CHECK(v.server.errors == 0);
}

TEST_CASE("Streams that a peer may not open yet count as resets")
{
    // They are refused until it has acknowledged our SETTINGS; later the connection ends at the first.
    options limits = ten_at_once();
    limits.max_concurrent_streams = 2;
    victim v{limits};
    std::uint32_t id = 1;
    for (; id < 200 && v.server.errors == 0; id += 2) {
        v.server.input(opened(id));
    }
    CHECK(v.server.error_kind == "reset_flood");
    CHECK(id <= 1 + 2 * 14);
    CHECK(v.server.refused.size() > 5);
    CHECK(v.server.refused.front() == "stream_limit");
}

TEST_CASE("A server that resets all that it is asked is no flood, one that resets what is over is")
{
    joined j{ten_at_once()};
    for (int i = 0; i < 100; ++i) {
        recorder& call = j.request(true);
        j.pass();
        j.server.e.reset(j.server.requests.back()->ref, error_code::refused_stream);
        j.pass();
        REQUIRE(call.closes == 1);
    }
    CHECK(j.client.errors == 0);
    for (int i = 0; i < 20; ++i) {
        j.client.input(frame(3, 0, 1, std::string{"\0\0\0\x08", 4}));
    }
    CHECK(j.client.error_kind == "reset_flood");
}

TEST_CASE("A client that reads quickly is no flood, whatever it answers")
{
    joined j{options{}, ten_at_once()};
    recorder& call = j.request(true);
    j.pass();
    recorder& served = j.served(0);
    j.server.e.submit_response(served.ref, {{":status", "200"}}, false);
    for (int i = 0; i < 200; ++i) {
        j.server.e.send_data(served.ref, text(std::string(200000, 'x')));
        j.pass();
    }
    CHECK(j.server.errors == 0);
    CHECK(call.body.size() == 200 * 200000);
}

TEST_CASE("The headers of all requests of a connection have a bound, and so have answers that nobody reads")
{
    options limits;
    limits.memory_budget = 100000;
    limits.connection_window = 70000;
    victim v{limits};
    SECTION("requests: a table of 4 KiB makes large ones of a few bytes")
    {
        // A value of 3000 bytes, entered in the table, and then named 5 times in each request.
        const std::string value = "\x40\x01x\x7f\xb9\x16" + std::string(3000, 'v');
        v.server.input(frame(1, 4, 1, request_block() + value));
        for (std::uint32_t id = 3; id < 41; id += 2) {
            v.server.input(frame(1, 4, id, "\x82\x86\x84\xbf" + std::string(5, '\xbe')));
        }
        CHECK(v.server.requests.size() > 3);
        std::size_t alive = 0;
        for (const auto& r : v.server.requests) {
            alive += r->closes == 0 && !r->reset ? 1U : 0U;
        }
        CHECK(alive <= 7);
        CHECK(v.server.errors == 0);
        // What has ended makes room.
        for (const auto& r : v.server.requests) {
            v.server.e.reset(r->ref, error_code::cancel);
        }
        (void)v.server.output();
        v.server.input(opened(101));
        CHECK(v.server.requests.back()->closes == 0);
        CHECK_FALSE(v.server.requests.back()->reset);
    }
    SECTION("answers")
    {
        const header_list large{{":status", "200"}, {"grpc-message", std::string(30000, 'x')}};
        for (std::uint32_t id = 1; id < 41; id += 2) {
            v.server.input(opened(id, 5));
            v.server.e.submit_response(v.server.requests.back()->ref, large, true);
        }
        std::size_t whole = 0;
        const std::string out = v.server.output();
        for (const auto& r : v.server.requests) {
            CHECK(r->closes == 1);
            whole += r->reset ? 0U : 1U;
        }
        CHECK(whole == 3);
        // Once it reads, it gets them again.
        v.server.input(opened(41, 5));
        v.server.e.submit_response(v.server.requests.back()->ref, large, true);
        (void)v.server.output();
        CHECK_FALSE(v.server.requests.back()->reset);
    }
}

TEST_CASE("An error of the connection closes every stream once, and nothing seems to have ended well")
{
    victim v;
    v.server.input(frame(1, 4, 1, request_block()));
    v.server.input(frame(1, 5, 3, request_block()));
    v.server.e.submit_response(v.server.requests[1]->ref, {{":status", "200"}}, false);
    v.server.e.send_data(v.server.requests[1]->ref, text(std::string(100000, 'x')));
    v.server.e.end_stream(v.server.requests[1]->ref);
    v.server.input(frame(0, 0, 5, "idle stream"));
    CHECK(v.goaway() == 1);
    CHECK(v.server.errors == 1);
    CHECK(v.server.requests[0]->log == "RC");
    CHECK(v.server.requests[1]->log == "ERC");
    CHECK(v.server.e.open_streams() == 0);
    CHECK(v.server.e.queued() == 0);
    v.server.input(frame(1, 5, 7, request_block()));
    CHECK(v.server.requests.size() == 2);
    CHECK(v.server.output().empty());
    v.server.e.connection_lost();
    CHECK(v.server.requests[0]->closes == 1);
}

TEST_CASE("A client may name any stream in its GOAWAY")
{
    victim v;
    const std::string last = GENERATE(std::string{"\x7f\xff\xff\xff", 4}, std::string{"\0\0\0\x01", 4});
    const std::string bytes = frame(1, 4, 1, request_block()) + frame(7, 0, 0, last + std::string(4, '\0') + "bye");
    const auto piece = GENERATE(std::size_t{1}, std::size_t{1000});
    for (std::size_t at = 0; at < bytes.size(); at += piece) {
        v.server.input(std::string_view{bytes}.substr(at, piece));
    }
    CHECK(v.goaway() == -1);
    CHECK(v.server.errors == 0);
    CHECK(v.server.goaways.size() == 1);
    CHECK(v.server.goaway_text == "bye");
    CHECK(v.server.requests.at(0)->log.empty());
}

TEST_CASE("A pushed stream is refused by a client")
{
    endpoint client{role::client, options{}};
    recorder call;
    client.e.submit_request({{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {":authority", "a"}}, call, true);
    (void)client.output();
    client.input(frame(4, 0, 0, ""));
    client.input(frame(4, 1, 0, ""));
    client.input(frame(5, 4, 1, std::string{"\0\0\0\x02", 4} + request_block()));
    (void)client.output();
    CHECK(client.errors == 1);
    CHECK(call.closes == 1);
}

TEST_CASE("Answers that break the rules fail their stream")
{
    const std::string bad = GENERATE(frame(1, 4, 1, std::string{"\x40\x01x\x01y", 5}),  // no :status
                                     frame(1, 4, 1, "\x88") + frame(1, 4, 1, std::string{"\x40\x01x\x01y", 5}));
    endpoint client{role::client, options{}};
    recorder call;
    client.e.submit_request({{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {":authority", "a"}}, call, true);
    (void)client.output();
    client.input(frame(4, 0, 0, "") + bad);
    (void)client.output();
    REQUIRE(call.reset);
    CHECK(call.reset->code == error_code::protocol_error);
    CHECK(call.closes == 1);
    CHECK(client.errors == 0);
}

TEST_CASE("Garbage behind a good start never breaks the rules of events")
{
    std::mt19937 random{21};
    for (int round = 0; round < 3000; ++round) {
        options limits;
        limits.memory_budget = 100000;
        limits.connection_window = 70000;
        victim v{limits};
        v.server.consumes = random() % 2 == 0;
        for (int i = 0; i < 30; ++i) {
            std::string bytes;
            const std::uint32_t id = static_cast<std::uint32_t>(random() % 10);
            switch (random() % 8) {
                case 0: bytes = frame(1, static_cast<int>(random() % 64), id, request_block()); break;
                case 1: bytes = frame(0, static_cast<int>(random() % 16), id, pattern(random() % 3000)); break;
                case 2: bytes = frame(9, static_cast<int>(random() % 8), id, request_block()); break;
                case 3: bytes = frame(3, 0, id, std::string{"\0\0\0\x08", 4}); break;
                case 4: bytes = frame(8, 0, id, std::string{"\0\0\x10\0", 4}); break;
                case 5:
                    bytes = frame(static_cast<int>(random() % 12), static_cast<int>(random() % 256), id,
                                  pattern(random() % 40));
                    break;
                case 6: bytes = frame(1, 5, 1 + 2 * static_cast<std::uint32_t>(i), request_block()); break;
                default: bytes = pattern(random() % 20, static_cast<unsigned>(random())); break;
            }
            v.server.input(bytes);
            if (!v.server.requests.empty() && random() % 2 == 0) {
                recorder& r = *v.server.requests[random() % v.server.requests.size()];
                v.server.e.submit_response(r.ref, {{":status", "200"}}, random() % 2 == 0);
                v.server.e.send_data(r.ref, text("hello"));
                if (random() % 3 == 0) {
                    v.server.e.submit_trailers(r.ref, {{"a", "b"}});
                }
            }
            REQUIRE(v.server.e.buffered() <= 100000);
            (void)v.server.output();
        }
        v.server.e.connection_lost();
        for (const auto& r : v.server.requests) {
            REQUIRE(r->closes == 1);
            REQUIRE(r->log.back() == 'C');
            REQUIRE(r->ends <= 1);
        }
        REQUIRE(v.server.errors <= 1);
        REQUIRE(v.server.e.open_streams() == 0);
    }
}
