#include <catch2/catch.hpp>

#include "http2/pair.hpp"

using namespace buildkit_lb;
using namespace buildkit_lb::http2;
using namespace buildkit_lb::http2::test;

namespace {

/// Text that Huffman coding makes shorter, or longer (then it is sent as it is).
std::string big_text(std::size_t size, bool shrinks)
{
    std::string s = pattern(size, 9);
    for (char& c : s) {
        c = static_cast<char>(shrinks ? 'A' + (static_cast<unsigned char>(c) % 26) : 0x80 | c);
    }
    return s;
}

struct answered {
    joined pair;
    recorder& call;

    explicit answered(const options& client_limits = {}) : pair{client_limits, {}}, call{pair.request(true)}
    {
        pair.pass();
        pair.server.e.submit_response(pair.served(0).ref, {{":status", "200"}}, false);
        pair.server.e.send_data(pair.served(0).ref, text("body"));
    }
};

}  // namespace

TEST_CASE("An error's trailers of 1 MiB pass, and the connection goes on")
{
    const bool shrinks = GENERATE(true, false);
    const auto piece = GENERATE(std::size_t{65536}, std::size_t{1000}, std::size_t{16384});
    answered a;
    const std::string details = big_text(1 << 20, shrinks);
    const header_list trailers{{"grpc-status", "2"}, {"grpc-message", "x"}, {"grpc-status-details-bin", details}};
    a.pair.server.e.submit_trailers(a.pair.served(0).ref, trailers);
    a.pair.pass(piece);
    REQUIRE(a.call.trailers);
    CHECK(*a.call.trailers == trailers);
    CHECK(a.call.closes == 1);
    CHECK(a.pair.client.errors + a.pair.server.errors == 0);
    recorder& next = a.pair.request(true, "/next");
    a.pair.pass();
    a.pair.server.e.submit_response(a.pair.served(1).ref, {{":status", "200"}, {"grpc-message", "x"}}, true);
    a.pair.pass();
    CHECK(next.headers.get("grpc-message") == "x");
}

TEST_CASE("A large value of a request passes as well, and one of its path")
{
    joined pair;
    recorder call;
    const header_list sent{{":method", "POST"},
                           {":scheme", "http"},
                           {":path", "/" + big_text(100000, true)},
                           {":authority", "a"},
                           {"x-small", "1"},
                           {"x-large", big_text(300000, false)},
                           {"x-large", big_text(400000, true)}};
    pair.client.e.submit_request(sent, call, true);
    pair.pass();
    REQUIRE(pair.server.requests.size() == 1);
    CHECK(pair.served(0).headers == sent);
}

TEST_CASE("Many fields of a middling size pass in one block")
{
    answered a;
    header_list trailers;
    for (int i = 0; i < 150; ++i) {
        trailers.add("x-" + std::to_string(i), big_text(10000, i % 2 == 0));
    }
    for (int i = 0; i < 2000; ++i) {
        trailers.add("y-" + std::to_string(i), big_text(100, i % 2 == 0));
    }
    a.pair.server.e.submit_trailers(a.pair.served(0).ref, trailers);
    a.pair.pass();
    REQUIRE(a.call.trailers);
    CHECK(*a.call.trailers == trailers);
}

TEST_CASE("A header list above the bound fails its stream only")
{
    const bool one_value = GENERATE(true, false);
    endpoint client{role::client, options{}};
    recorder call;
    recorder other;
    const header_list request{{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {":authority", "a"}};
    call.ref = client.e.submit_request(request, call, true);
    other.ref = client.e.submit_request(request, other, true);
    (void)client.output();

    // A peer that does not care for SETTINGS_MAX_HEADER_LIST_SIZE: it has not read it.
    endpoint careless{role::server, options{}};
    careless.input(preface);
    careless.input(frame(4, 0, 0, ""));
    careless.input(frame(1, 5, 1, request_block()));
    careless.input(frame(1, 5, 3, request_block()));
    REQUIRE(careless.requests.size() == 2);
    careless.e.submit_response(careless.requests[0]->ref, {{":status", "200"}, {"a", "b"}}, false);
    header_list trailers;
    for (int i = 0; i < (one_value ? 1 : 60); ++i) {
        trailers.add("x-big", big_text(one_value ? 3000000 : 50000, true));
    }
    trailers.add("grpc-status", "0");
    careless.e.submit_trailers(careless.requests[0]->ref, trailers);
    careless.e.submit_response(careless.requests[1]->ref, {{":status", "200"}, {"a", "b"}, {"grpc-status", "0"}}, true);

    client.input(careless.output());
    const std::string answer = client.output();
    CHECK(client.errors == 0);
    CHECK(client.refused == std::vector<std::string>{"header_list"});
    CHECK(call.log == "HRC");
    REQUIRE(call.reset);
    CHECK(call.reset->code == error_code::enhance_your_calm);
    CHECK(call.reset->source == reset_source::engine);
    CHECK(answer.find(std::string{"\0\0\x04\x03\0\0\0\0\x01\0\0\0\x0b", 13}) != std::string::npos);
    CHECK(other.log == "HEC");
    CHECK(other.headers.get("a") == "b");
    CHECK(other.headers.get("grpc-status") == "0");
}

TEST_CASE("A request above the bound is reset without being told of")
{
    options tight;
    tight.max_header_list = 1000;
    endpoint server{role::server, tight};
    server.input(preface);
    server.input(frame(4, 0, 0, ""));
    server.input(frame(1, 5, 1, request_block() + std::string{"\x40\x01x\x7f\xf1\x06", 6} + std::string(1008, 'y')));
    server.input(frame(1, 5, 3, request_block()));
    CHECK(server.requests.size() == 1);
    CHECK(server.errors == 0);
    CHECK(server.output().find(std::string{"\0\0\x04\x03\0\0\0\0\x01\0\0\0\x0b", 13}) != std::string::npos);
    CHECK(server.e.open_streams() == 1);
}

TEST_CASE("A field indexed a thousand times does not multiply in memory")
{
    options tight;
    tight.max_header_list = 100000;
    endpoint server{role::server, tight};
    server.input(preface);
    server.input(frame(4, 0, 0, ""));
    std::string block = request_block() + std::string{"\x40\x01x\x7f\x81\x1e", 6} + std::string(3968, 'y');
    block += std::string(10000, static_cast<char>(0x80 | 62));
    server.input(frame(1, 5, 1, block));
    CHECK(server.requests.empty());
    CHECK(server.errors == 0);
    server.input(frame(1, 5, 3, request_block() + static_cast<char>(0x80 | 63)));
    REQUIRE(server.requests.size() == 1);
    CHECK(server.requests[0]->headers[4].value.size() == 3968);
}

TEST_CASE("Headers above what the peer takes fail their stream before they are sent")
{
    options tight;
    tight.max_header_list = 10000;
    answered a{tight};
    a.pair.server.e.submit_trailers(a.pair.served(0).ref, {{"grpc-status-details-bin", std::string(20000, 'x')}});
    a.pair.pass();
    REQUIRE(a.pair.served(0).reset);
    CHECK(a.pair.served(0).reset->source == reset_source::engine);
    CHECK(a.pair.served(0).closes == 1);
    CHECK(a.call.log == "RC");
    CHECK(a.call.reset->code == error_code::enhance_your_calm);

    joined pair{{}, tight};
    recorder call;
    pair.client.e.submit_request({{":method", "GET"}, {":path", std::string(20000, 'x')}}, call, true);
    CHECK(call.log.empty());
    pair.pass();
    CHECK(call.log == "RC");
    CHECK(call.reset->code == error_code::enhance_your_calm);
    CHECK(pair.server.requests.empty());
}

TEST_CASE("A flood of CONTINUATION frames ends the connection and costs a bounded amount of memory")
{
    options limits;
    limits.max_continuations = 20;
    endpoint server{role::server, limits};
    server.input(preface);
    server.input(frame(4, 0, 0, ""));
    server.input(frame(1, 1, 1, request_block()));
    for (int i = 0; i < 20; ++i) {
        server.input(frame(9, 0, 1, GENERATE(std::string{}, std::string(100, '\x82'))));
        REQUIRE(server.errors == 0);
    }
    server.input(frame(9, 0, 1, ""));
    CHECK(server.errors == 1);
    CHECK(server.error_kind == "header_flood");
    CHECK(server.error_code_seen == error_code::enhance_your_calm);
    CHECK(server.output().find(std::string{"\x07\0\0\0\0\0\0\0\0\0\0\0\0\x0b", 14}) != std::string::npos);
    CHECK(server.e.finished());
}

TEST_CASE("A header block of too many bytes ends the connection")
{
    options limits;
    limits.max_header_block = 100000;
    endpoint server{role::server, limits};
    server.input(preface);
    server.input(frame(4, 0, 0, ""));
    server.input(frame(1, 1, 1, request_block()));
    for (int i = 0; i < 6; ++i) {
        server.input(frame(9, 0, 1, std::string(16384, '\x82')));
    }
    CHECK(server.errors == 0);
    server.input(frame(9, 0, 1, std::string(16384, '\x82')));
    CHECK(server.error_kind == "header_flood");
}

TEST_CASE("A header block in several frames is one, padding and priority and all")
{
    endpoint server{role::server, options{}};
    std::string in{preface};
    in += frame(4, 0, 0, "");
    const std::string block = request_block();
    // PADDED | PRIORITY, END_STREAM: 3 bytes of padding.
    in += frame(1, 0x8 | 0x20 | 0x1, 1, std::string{"\x03\0\0\0\0\x10", 6} + block.substr(0, 2) + std::string(3, '\0'));
    in += frame(9, 0, 1, "");
    in += frame(9, 0, 1, block.substr(2, 1));
    in += frame(9, 4, 1, block.substr(3));
    in += frame(1, 5, 3, block);
    const auto piece = GENERATE(std::size_t{1}, std::size_t{2}, std::size_t{7}, std::size_t{1000});
    for (std::size_t at = 0; at < in.size(); at += piece) {
        server.input(std::string_view{in}.substr(at, piece));
    }
    CHECK(server.errors == 0);
    REQUIRE(server.requests.size() == 2);
    CHECK(server.requests[0]->headers.get(":authority") == "a");
    CHECK(server.requests[0]->headers_ended);
    CHECK(server.requests[1]->headers.get(":authority") == "a");
}

TEST_CASE("A header block that breaks off, or is padded wrongly, is a protocol error")
{
    const std::string bad = GENERATE(frame(1, 0, 1, request_block()) + frame(6, 0, 0, "12345678"),
                                     frame(1, 0, 1, request_block()) + frame(9, 4, 3, ""),
                                     frame(1, 0, 1, request_block()) + frame(1, 4, 3, request_block()),
                                     frame(1, 0, 1, request_block()) + frame(0, 0, 1, "x"),
                                     frame(1, 0x8, 1, std::string{"\x09", 1} + "12345"), frame(1, 0x8, 1, ""),
                                     frame(9, 4, 1, request_block()), frame(1, 0, 0, request_block()),
                                     frame(1, 0, 2, request_block()) + frame(9, 4, 2, ""));
    endpoint server{role::server, options{}};
    server.input(preface);
    server.input(frame(4, 0, 0, ""));
    server.input(bad);
    (void)server.output();
    CHECK(server.errors == 1);
    CHECK((server.error_kind == "protocol_error" || server.error_kind == "frame_size_error"));
    CHECK(server.requests.empty());
    CHECK(server.e.failed());
}

TEST_CASE("A header value that is malformed fails its stream, small or large")
{
    const bool large = GENERATE(false, true);
    endpoint server{role::server, options{}};
    server.input(preface);
    server.input(frame(4, 0, 0, ""));
    std::string value = std::string(large ? 20000 : 5, 'v') + "\n";
    std::string block = request_block() + std::string{"\x00\x01x", 3};
    if (large) {
        block += std::string{"\x7f\xa2\x9b\x01", 4};  // 20001
    } else {
        block += std::string{"\x06", 1};
    }
    block += value;
    if (large) {
        server.input(frame(1, 1, 1, block.substr(0, 16000)));
        server.input(frame(9, 4, 1, block.substr(16000)));
    } else {
        server.input(frame(1, 5, 1, block));
    }
    server.input(frame(1, 5, 3, request_block()));
    CHECK(server.output().find(std::string{"\0\0\x04\x03\0\0\0\0\x01\0\0\0\x01", 13}) != std::string::npos);
    CHECK(server.requests.size() == 1);
    CHECK(server.errors == 0);
}
