#include <catch2/catch.hpp>
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
    SECTION("with PING")
    {
        victim v;
        for (int i = 0; i < 2000 && v.server.errors == 0; ++i) {
            v.server.input(frame(6, 0, 0, "12345678"));
        }
        CHECK(v.server.error_kind == "ack_flood");
    }
    SECTION("with SETTINGS")
    {
        victim v;
        for (int i = 0; i < 2000 && v.server.errors == 0; ++i) {
            v.server.input(frame(4, 0, 0, ""));
        }
        CHECK(v.server.error_kind == "ack_flood");
    }
    SECTION("with long SETTINGS")
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
}

TEST_CASE("A peer that opens and resets streams quickly is given up")
{
    options limits;
    limits.reset_burst = 100;
    victim v{limits};
    for (std::uint32_t id = 1; id < 1000 && v.server.errors == 0; id += 2) {
        v.server.input(frame(1, 4, id, request_block()) + frame(3, 0, id, std::string{"\0\0\0\x08", 4}));
        (void)v.server.output();
    }
    CHECK(v.server.error_kind == "reset_flood");
    CHECK(v.server.requests.size() < 110);
    for (const auto& r : v.server.requests) {
        CHECK(r->closes == 1);
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
