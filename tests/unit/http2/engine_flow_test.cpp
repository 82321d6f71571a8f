#include <catch2/catch.hpp>

#include "http2/pair.hpp"

using namespace buildkit_lb;
using namespace buildkit_lb::http2;
using namespace buildkit_lb::http2::test;

namespace {

options windows(std::uint32_t initial, std::uint32_t largest, std::uint32_t connection = 16 << 20,
                std::size_t budget = 64 << 20)
{
    options o;
    o.initial_stream_window = initial;
    o.max_stream_window = largest;
    o.connection_window = connection;
    o.memory_budget = budget;
    return o;
}

}  // namespace

TEST_CASE("Payloads of DATA are passed on where they lie, without a copy")
{
    struct looks final : stream_handler {
        std::span<const std::byte> input;
        std::size_t inside = 0;
        void on_headers(stream_ref, header_list, bool) override {}
        void on_data(stream_ref, buffer_slice data) override
        {
            if (data.data() >= input.data() && data.data() + data.size() <= input.data() + input.size()) {
                inside += data.size();
            }
        }
        void on_trailers(stream_ref, header_list) override {}
        void on_end(stream_ref) override {}
        void on_reset(stream_ref, const reset_info&) override {}
        void on_closed(stream_ref) override {}
    };
    joined pair;
    recorder& call = pair.request(false);
    pair.pass();
    looks handler;
    pair.server.e.set_handler(pair.served(0).ref, handler);
    pair.client.e.send_data(call.ref, text(pattern(100000)));
    const buffer_slice input = text(pair.client.output());
    handler.input = input.span();
    pair.server.e.receive(input);
    CHECK(handler.inside == 100000);
}

TEST_CASE("Bodies go out by reference, and small control frames in one piece")
{
    joined pair;
    recorder& call = pair.request(false);
    const buffer_slice body = text(pattern(52000));
    pair.client.e.send_data(call.ref, body);
    std::vector<buffer_slice> out;
    pair.client.e.collect(out, 1 << 20);
    std::size_t by_reference = 0;
    for (const buffer_slice& s : out) {
        if (s.data() >= body.data() && s.data() < body.data() + body.size()) {
            by_reference += s.size();
        }
    }
    CHECK(by_reference == 52000);
    CHECK(out.size() <= 9);  // HEADERS with the first frame's header, then payload and header in turn
}

TEST_CASE("Collecting stops at the bound and goes on from there")
{
    joined pair{{}, windows(1 << 20, 1 << 20)};
    recorder& call = pair.request(false);
    pair.client.e.send_data(call.ref, text(pattern(300000)));
    std::vector<buffer_slice> out;
    const std::size_t first = pair.client.e.collect(out, 50000);
    CHECK(first >= 50000);
    CHECK(first <= 50000 + 16384 + 9);
    CHECK(pair.client.e.queued(call.ref) > 200000);
    CHECK(pair.client.e.wants_output());
    for (const buffer_slice& s : out) {
        pair.server.e.receive(s);
    }
    pair.pass();
    CHECK(pair.served(0).body == pattern(300000));
}

TEST_CASE("What is queued behind a shut window is visible, keeps its order, and pins little memory")
{
    joined pair{{}, windows(65535, 65535)};
    pair.server.consumes = false;
    recorder& call = pair.request(false);
    pair.client.e.send_data(call.ref, text(pattern(65535)));
    pair.pass();
    CHECK(pair.client.e.queued(call.ref) == 0);

    const buffer_block block = buffer_block::make(buffer_block::read_block_size);
    std::string expected = pattern(65535);
    for (int i = 0; i < 10; ++i) {
        std::fill_n(block.bytes().begin() + i * 20, 20, static_cast<std::byte>('0' + i));
        pair.client.e.send_data(call.ref, buffer_slice{block, static_cast<std::size_t>(i) * 20, 20});
        expected += std::string(20, static_cast<char>('0' + i));
    }
    CHECK_FALSE(block.unique());
    pair.pass();
    CHECK(pair.client.e.queued(call.ref) == 200);
    CHECK(pair.client.e.queued() == 200);
    CHECK(block.unique());
    pair.server.e.consume(pair.served(0).ref, 65535);
    pair.pass();
    CHECK(pair.served(0).body == expected);
    CHECK(pair.client.e.queued() == 0);
    CHECK(call.taken == 65735);
}

TEST_CASE("Small slices pin little memory also where the transport takes nothing")
{
    joined pair;
    recorder& call = pair.request(false);
    pair.pass();
    const buffer_block block = buffer_block::make(buffer_block::read_block_size);
    pair.client.e.send_data(call.ref, buffer_slice{block, 0, 100});
    pair.client.e.send_data(call.ref, text(std::string(600000, 'x')));
    CHECK(block.unique());
}

TEST_CASE("A stream that nobody consumes stalls itself and no other")
{
    joined pair{{}, windows(65535, 65535)};
    pair.server.consumes = false;
    recorder& slow = pair.request(false);
    pair.client.e.send_data(slow.ref, text(pattern(1000000)));
    pair.pass();
    CHECK(pair.served(0).body.size() == 65535);
    CHECK(pair.server.e.unconsumed(pair.served(0).ref) == 65535);
    CHECK(pair.server.e.window(pair.served(0).ref) == 0);

    pair.server.consumes = true;
    for (int i = 0; i < 20; ++i) {
        recorder& quick = pair.request(false);
        pair.client.e.send_data(quick.ref, text(pattern(2000000)));
        pair.client.e.end_stream(quick.ref);
        pair.pass();
        CHECK(pair.server.requests.back()->body.size() == 2000000);
        CHECK(pair.server.requests.back()->ends == 1);
        pair.server.e.submit_response(pair.server.requests.back()->ref, {{":status", "200"}}, true);
    }
    CHECK(pair.served(0).body.size() == 65535);
    pair.server.e.consume(pair.served(0).ref, 65535);
    pair.pass();
    CHECK(pair.served(0).body.size() == 2 * 65535);
}

TEST_CASE("All credit comes back: windows are what they were once everything is consumed")
{
    joined pair{windows(65536, 65536, 1 << 20), windows(65536, 65536, 1 << 20)};
    pair.server.consumes = false;
    recorder& call = pair.request(false);
    pair.pass();
    const stream_ref served = pair.served(0).ref;
    const std::size_t connection_before = pair.client.e.peer_connection_window();
    std::size_t sent = 0;
    std::size_t consumed = 0;
    for (int round = 0; round < 400; ++round) {
        const std::size_t size = static_cast<std::size_t>(round) * 37 % 5000 + 1;
        pair.client.e.send_data(call.ref, text(std::string(size, 'x')));
        sent += size;
        pair.pass(static_cast<std::size_t>(round) % 3000 + 1);
        const std::size_t part = pair.server.e.unconsumed(served) * 2 / 3;
        pair.server.e.consume(served, part);
        consumed += part;
    }
    pair.pass();
    consumed += pair.server.e.unconsumed(served);
    pair.server.e.consume(served, pair.server.e.unconsumed(served));
    pair.pass();
    CHECK(pair.served(0).body.size() == sent);
    CHECK(consumed == sent);
    CHECK(pair.server.e.buffered() == 0);
    CHECK(pair.server.e.window(served) == 65536);
    // Less than a quarter, and less than a half, are owed and not sent yet.
    CHECK(pair.client.e.peer_window(call.ref) > 65536 * 3 / 4);
    CHECK(pair.client.e.peer_connection_window() > (1 << 20) / 2);
    CHECK(connection_before == 1 << 20);
}

TEST_CASE("Window updates are few")
{
    joined pair{{}, windows(262144, 262144)};
    recorder& call = pair.request(false);
    pair.pass();
    int updates = 0;
    for (int i = 0; i < 100; ++i) {
        pair.client.e.send_data(call.ref, text(std::string(16384, 'x')));
        joined::move(pair.client, pair.server, 65536);
        const std::string back = pair.server.output();
        for (std::size_t at = 0; at + 9 <= back.size(); at += 13) {
            REQUIRE(back[at + 3] == 8);
            ++updates;
        }
        pair.client.input(back);
    }
    CHECK(pair.served(0).body.size() == 1638400);
    CHECK(updates >= 20);
    CHECK(updates <= 26);  // a quarter of the window each
}

TEST_CASE("The window of a stream grows while it is consumed quickly")
{
    joined pair{{}, windows(65536, 8 << 20)};
    recorder& call = pair.request(false);
    pair.client.e.send_data(call.ref, text(std::string(40 << 20, 'x')));
    pair.pass();
    CHECK(pair.served(0).body.size() == 40 << 20);
    CHECK(pair.server.e.window(pair.served(0).ref) == 8 << 20);
    CHECK(pair.server.e.extra_window() == (8 << 20) - 65536);
    pair.client.e.end_stream(call.ref);
    pair.pass();
    CHECK(pair.server.e.extra_window() == 0);
}

TEST_CASE("Memory stays within the budget whatever is sent, and flows again when it is consumed")
{
    const std::size_t budget = 400000;
    joined pair{{}, windows(65536, 1 << 20, 200000, budget)};
    pair.server.consumes = false;
    std::vector<recorder*> calls;
    for (int i = 0; i < 30; ++i) {
        calls.push_back(&pair.request(false));
        pair.client.e.send_data(calls.back()->ref, text(std::string(60000, 'x')));
        pair.client.e.end_stream(calls.back()->ref);
    }
    pair.pass();
    CHECK(pair.server.e.buffered() <= budget);
    CHECK(pair.server.e.buffered() > budget / 2);
    std::size_t most = 0;
    for (int round = 0; round < 1000; ++round) {
        for (const auto& served : pair.server.requests) {
            pair.server.e.consume(served->ref, 5000);
        }
        pair.pass();
        most = std::max(most, pair.server.e.buffered());
    }
    CHECK(most <= budget);
    CHECK(pair.server.e.buffered() == 0);
    for (const auto& served : pair.server.requests) {
        CHECK(served->body.size() == 60000);
    }
}

TEST_CASE("Bytes of ended streams stay charged until they are consumed, those of reset streams do not")
{
    joined pair;
    recorder& ended = pair.request(true);
    recorder& reset = pair.request(true);
    ended.consumes = nullptr;
    reset.consumes = nullptr;
    pair.pass();
    for (std::size_t i = 0; i < 2; ++i) {
        pair.server.e.submit_response(pair.served(i).ref, {{":status", "200"}}, false);
        pair.server.e.send_data(pair.served(i).ref, text(std::string(5000, 'x')));
    }
    pair.server.e.end_stream(pair.served(0).ref);
    pair.pass();
    CHECK(ended.closes == 1);
    CHECK_FALSE(pair.client.e.alive(ended.ref));
    CHECK(pair.client.e.buffered() == 10000);
    pair.client.e.reset(reset.ref, error_code::cancel);
    pair.pass();
    CHECK(pair.client.e.buffered() == 5000);
    pair.client.e.consume(reset.ref, 5000);
    CHECK(pair.client.e.buffered() == 5000);
    pair.client.e.consume(ended.ref, 2000);
    pair.client.e.consume(ended.ref, 3000);
    CHECK(pair.client.e.buffered() == 0);
    pair.client.e.consume(ended.ref, 3000);
    CHECK(pair.client.e.buffered() == 0);
}

TEST_CASE("Padding costs no credit for ever")
{
    joined pair{{}, windows(65535, 65535, 65535, 1 << 20)};
    pair.request(false);
    pair.pass();
    // DATA with 1 byte of body and 200 of padding, again and again: more than both windows in all.
    std::string payload(1, static_cast<char>(200));
    payload += 'x';
    payload += std::string(200, '\0');
    std::size_t updated = 0;
    for (int i = 0; i < 1000; ++i) {
        pair.server.input(frame(0, 8, 1, payload));
        const std::string back = pair.server.output();
        for (std::size_t at = 0; at + 13 <= back.size(); at += 13) {
            REQUIRE(back[at + 3] == 8);
            if (back[at + 8] == 1) {
                updated += static_cast<std::size_t>(static_cast<unsigned char>(back[at + 11])) * 256 +
                           static_cast<unsigned char>(back[at + 12]);
            }
        }
    }
    CHECK(pair.server.errors == 0);
    CHECK(pair.served(0).body.size() == 1000);
    CHECK(updated + 65535 > 1000 * 202);
}

TEST_CASE("Streams share the output")
{
    joined pair{{}, windows(1 << 20, 1 << 20)};
    recorder& one = pair.request(false);
    recorder& two = pair.request(false);
    pair.client.e.send_data(one.ref, text(std::string(900000, 'x')));
    pair.client.e.send_data(two.ref, text(std::string(900000, 'y')));
    std::vector<buffer_slice> out;
    pair.client.e.collect(out, 400000);
    for (const buffer_slice& s : out) {
        pair.server.e.receive(s);
    }
    CHECK(pair.served(0).body.size() > 150000);
    CHECK(pair.served(1).body.size() > 150000);
}
