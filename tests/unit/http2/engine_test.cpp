#include <catch2/catch.hpp>

#include "http2/pair.hpp"

using namespace buildkit_lb;
using namespace buildkit_lb::http2;
using namespace buildkit_lb::http2::test;

TEST_CASE("A call passes with headers, bodies and trailers both ways")
{
    joined pair;
    recorder& call = pair.request(false);
    pair.client.e.send_data(call.ref, text("question"));
    pair.client.e.end_stream(call.ref);
    pair.pass();

    REQUIRE(pair.server.requests.size() == 1);
    recorder& served = pair.served(0);
    CHECK(served.headers.get(":path") == "/x");
    CHECK(served.headers.get("te") == "trailers");
    CHECK(served.body == "question");
    CHECK(served.log == "DE");

    pair.server.e.submit_response(served.ref, {{":status", "200"}, {"content-type", "application/grpc"}}, false);
    pair.server.e.send_data(served.ref, text("ans"));
    pair.server.e.send_data(served.ref, text("wer"));
    pair.server.e.submit_trailers(served.ref, {{"grpc-status", "0"}});
    pair.pass();

    CHECK(call.headers.get(":status") == "200");
    CHECK(call.body == "answer");
    REQUIRE(call.trailers);
    CHECK(call.trailers->get("grpc-status") == "0");
    CHECK(call.log.front() == 'H');
    CHECK(call.log.substr(call.log.size() - 3) == "TEC");
    CHECK(served.log == "DEC");
    CHECK(call.taken == 8);
    CHECK(served.taken == 6);
    CHECK(pair.client.e.open_streams() == 0);
    CHECK(pair.server.e.open_streams() == 0);
}

TEST_CASE("Headers keep their order, repeated fields stay apart, empty values stay")
{
    joined pair;
    recorder call;
    const header_list sent{{":method", "POST"}, {":scheme", "http"}, {":path", "/x"},
                           {":authority", "a"}, {"x-m", "one"},      {"x-empty", ""},
                           {"x-m", "two"},      {"x-m", ""},         {"x-spaces", " a "}};
    pair.client.e.submit_request(sent, call, true);
    pair.pass();
    REQUIRE(pair.server.requests.size() == 1);
    CHECK(pair.served(0).headers == sent);
    CHECK(pair.served(0).headers_ended);
    CHECK(pair.served(0).ends == 1);
}

TEST_CASE("A field that must not be indexed is passed on as such")
{
    joined pair;
    recorder call;
    header_list sent{{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {":authority", "a"}};
    sent.add("authorization", "secret", true);
    pair.client.e.submit_request(sent, call, true);
    pair.pass();
    CHECK(pair.served(0).headers[4].sensitive);
    CHECK_FALSE(pair.served(0).headers[3].sensitive);
}

TEST_CASE("An answer of trailers only ends the stream with its headers")
{
    joined pair;
    recorder& call = pair.request(true);
    pair.pass();
    pair.server.e.submit_response(pair.served(0).ref, {{":status", "200"}, {"grpc-status", "12"}}, true);
    pair.pass();
    CHECK(call.headers_ended);
    CHECK(call.headers.get("grpc-status") == "12");
    CHECK(call.log == "HEC");
    CHECK_FALSE(call.trailers);
}

TEST_CASE("1xx answers come apart from the final one")
{
    joined pair;
    recorder& call = pair.request(true);
    pair.pass();
    pair.server.e.submit_informational(pair.served(0).ref, {{":status", "103"}, {"link", "x"}});
    pair.server.e.submit_response(pair.served(0).ref, {{":status", "200"}}, true);
    pair.pass();
    REQUIRE(call.informational.size() == 1);
    CHECK(call.informational[0].get("link") == "x");
    CHECK(call.log == "HEC");
}

TEST_CASE("Trailers without a body follow their headers")
{
    joined pair;
    recorder& call = pair.request(false);
    pair.client.e.submit_trailers(call.ref, {{"x-checksum", "1"}});
    pair.pass();
    REQUIRE(pair.served(0).trailers);
    CHECK(pair.served(0).trailers->get("x-checksum") == "1");
    pair.server.e.submit_response(pair.served(0).ref, {{":status", "200"}}, false);
    pair.server.e.submit_trailers(pair.served(0).ref, {{"grpc-status", "5"}});
    pair.pass();
    CHECK(call.log == "HTEC");
}

TEST_CASE("Trailers do not wait for a window that is shut")
{
    options small;
    small.initial_stream_window = 1000;
    joined pair{small, {}};
    recorder& call = pair.request(true);
    call.consumes = nullptr;
    pair.pass();
    pair.server.e.submit_response(pair.served(0).ref, {{":status", "200"}}, false);
    pair.server.e.send_data(pair.served(0).ref, text(pattern(1000)));
    pair.pass();
    CHECK(pair.server.e.peer_window(pair.served(0).ref) == 0);
    pair.server.e.submit_trailers(pair.served(0).ref, {{"grpc-status", "0"}});
    pair.pass();
    CHECK(call.trailers);
    CHECK(call.closes == 1);
    CHECK(pair.client.e.buffered() == 1000);
    pair.client.e.consume(call.ref, 1000);
    CHECK(pair.client.e.buffered() == 0);
}

TEST_CASE("Resets carry their code both ways and close the stream once")
{
    joined pair;
    recorder& one = pair.request(false);
    recorder& two = pair.request(false);
    pair.pass();
    pair.client.e.reset(one.ref, error_code::cancel);
    pair.server.e.reset(pair.served(1).ref, error_code::internal_error);
    pair.pass();
    REQUIRE(pair.served(0).reset);
    CHECK(pair.served(0).reset->code == error_code::cancel);
    CHECK(pair.served(0).reset->source == reset_source::peer);
    CHECK(pair.served(0).log == "RC");
    CHECK(one.log == "C");
    REQUIRE(two.reset);
    CHECK(two.reset->code == error_code::internal_error);
    CHECK_FALSE(two.reset->unprocessed);
    CHECK(two.log == "RC");
    CHECK(pair.served(1).log == "C");
}

TEST_CASE("A refused stream is known to be unprocessed")
{
    joined pair;
    pair.server.refuses = true;
    recorder& call = pair.request(true);
    pair.pass();
    REQUIRE(call.reset);
    CHECK(call.reset->code == error_code::refused_stream);
    CHECK(call.reset->unprocessed);
    CHECK(call.log == "RC");
}

TEST_CASE("An early answer is complete, and the reset behind it is told as NO_ERROR")
{
    joined pair;
    recorder& call = pair.request(false);
    pair.client.e.send_data(call.ref, text("more to come"));
    pair.pass();
    const stream_ref served = pair.served(0).ref;
    pair.server.e.submit_response(served, {{":status", "200"}}, false);
    pair.server.e.send_data(served, text("enough"));
    pair.server.e.reset_when_sent(served, error_code::no_error);
    pair.pass();
    CHECK_FALSE(call.reset);
    pair.server.e.submit_trailers(served, {{"grpc-status", "0"}});
    pair.pass();
    CHECK(call.body == "enough");
    CHECK(call.ends == 1);
    REQUIRE(call.reset);
    CHECK(call.reset->code == error_code::no_error);
    CHECK(call.log == "HDTERC");
    CHECK(pair.served(0).closes == 1);
}

TEST_CASE("Requests above the peer's limit wait, urgent ones go first, and a changed limit is honoured")
{
    options two;
    two.max_concurrent_streams = 2;
    joined pair{{}, two};
    std::vector<recorder*> calls;
    for (const char* path : {"/1", "/2", "/3", "/4"}) {
        calls.push_back(&pair.request(true, path));
    }
    CHECK_FALSE(pair.client.e.can_open());
    recorder& urgent = pair.request(true, "/health", true);
    pair.pass();
    CHECK(pair.server.requests.size() == 2);
    CHECK(pair.client.e.open_streams() == 2);
    CHECK(pair.client.e.pending_streams() == 3);
    CHECK(pair.client.e.wire_id(calls[2]->ref) == 0);

    pair.server.e.submit_response(pair.served(0).ref, {{":status", "200"}}, true);
    pair.pass();
    REQUIRE(pair.server.requests.size() == 3);
    CHECK(pair.served(2).headers.get(":path") == "/health");

    // A waiting request that is given up is never sent.
    pair.client.e.reset(calls[2]->ref, error_code::cancel);
    pair.pass();
    CHECK(calls[2]->log == "C");
    pair.server.e.submit_response(pair.served(1).ref, {{":status", "200"}}, true);
    pair.pass();
    REQUIRE(pair.server.requests.size() == 4);
    CHECK(pair.served(3).headers.get(":path") == "/4");
    CHECK(urgent.closes == 0);

    // SETTINGS_MAX_CONCURRENT_STREAMS = 1, then 3.
    pair.request(true, "/5");
    pair.request(true, "/6");
    pair.client.input(frame(4, 0, 0, std::string{"\0\x03\0\0\0\x01", 6}));
    pair.server.e.submit_response(pair.served(2).ref, {{":status", "200"}}, true);
    joined::move(pair.server, pair.client, 65536);
    CHECK(pair.client.e.open_streams() == 1);
    CHECK(pair.client.e.pending_streams() == 2);
    CHECK(pair.client.settings.back().max_concurrent_streams == 1);
    pair.client.input(frame(4, 0, 0, std::string{"\0\x03\0\0\0\x03", 6}));
    CHECK(pair.client.e.open_streams() == 3);
    CHECK(pair.client.e.pending_streams() == 0);
}

TEST_CASE("The body of a waiting request follows it")
{
    options one;
    one.max_concurrent_streams = 1;
    joined pair{{}, one};
    pair.request(true);
    recorder& waits = pair.request(false);
    pair.client.e.send_data(waits.ref, text("body"));
    pair.client.e.submit_trailers(waits.ref, {{"t", "1"}});
    pair.pass();
    CHECK(pair.server.requests.size() == 1);
    pair.server.e.submit_response(pair.served(0).ref, {{":status", "200"}}, true);
    pair.pass();
    REQUIRE(pair.server.requests.size() == 2);
    CHECK(pair.served(1).body == "body");
    REQUIRE(pair.served(1).trailers);
}

TEST_CASE("A GOAWAY lets streams end that it takes in and gives back the others as unprocessed")
{
    options one;
    one.max_concurrent_streams = 1;
    joined pair{{}, one};
    recorder& open = pair.request(true);
    recorder& waits = pair.request(true);
    pair.pass();
    pair.server.e.goaway(error_code::no_error, "bye");
    pair.pass();
    REQUIRE(pair.client.goaways.size() == 1);
    CHECK(pair.client.goaways[0] == 1);
    CHECK(pair.client.goaway_text == "bye");
    CHECK(waits.log == "RC");
    REQUIRE(waits.reset);
    CHECK(waits.reset->unprocessed);
    CHECK_FALSE(pair.client.e.accepts_requests());
    CHECK(open.log.empty());

    recorder& late = pair.request(true);
    CHECK(late.log.empty());  // commands raise nothing
    pair.pass();
    CHECK(late.log == "RC");
    CHECK(late.reset->unprocessed);

    CHECK_FALSE(pair.server.e.finished());
    pair.server.e.submit_response(pair.served(0).ref, {{":status", "200"}}, true);
    pair.pass();
    CHECK(open.log == "HEC");
    CHECK(pair.server.e.finished());
    CHECK(pair.client.e.finished());
    CHECK(pair.server.errors == 0);
    CHECK(pair.client.errors == 0);
}

TEST_CASE("A GOAWAY whose last stream is older refuses what was sent after it")
{
    joined pair;
    recorder& call = pair.request(true);
    (void)pair.client.output();
    pair.client.input(frame(7, 0, 0, std::string(8, '\0')));
    CHECK(call.log == "RC");
    REQUIRE(call.reset);
    CHECK(call.reset->unprocessed);
}

TEST_CASE("The notice of a shutdown takes requests that are still on their way")
{
    joined pair;
    recorder& first = pair.request(true, "/1");
    (void)first;
    recorder& racing = pair.request(true, "/2");
    pair.server.e.shutdown_notice();
    const std::string from_server = pair.server.output();
    joined::move(pair.client, pair.server, 65536);
    pair.client.input(from_server);
    CHECK(pair.client.goaways.at(0) == 0x7fffffff);
    CHECK_FALSE(pair.client.e.accepts_requests());
    CHECK(pair.server.requests.size() == 2);
    CHECK(racing.log.empty());
    pair.server.e.goaway(error_code::no_error);
    pair.pass();
    CHECK(pair.client.goaways.at(1) == 3);
    CHECK(racing.log.empty());
}

TEST_CASE("Losing the connection resets and closes every stream once, waiting ones too")
{
    options one;
    one.max_concurrent_streams = 1;
    joined pair{{}, one};
    recorder& open = pair.request(false);
    recorder& waits = pair.request(false);
    pair.pass();
    pair.client.e.connection_lost("gone");
    pair.client.e.connection_lost("again");
    for (recorder* r : {&open, &waits}) {
        CHECK(r->log == "RC");
        REQUIRE(r->reset);
        CHECK(r->reset->source == reset_source::connection);
    }
    CHECK_FALSE(open.reset->unprocessed);
    CHECK(waits.reset->unprocessed);
    CHECK(pair.client.e.finished());
    CHECK_FALSE(pair.client.e.wants_output());
    CHECK_FALSE(pair.client.e.alive(open.ref));
    CHECK(pair.client.e.open_streams() == 0);
}

TEST_CASE("Terminating a connection closes its streams and tells the peer")
{
    joined pair;
    recorder& call = pair.request(false);
    pair.client.e.send_data(call.ref, text("cut short"));
    pair.pass();
    pair.server.e.submit_response(pair.served(0).ref, {{":status", "200"}}, false);
    pair.server.e.send_data(pair.served(0).ref, text("never complete"));
    pair.server.e.end_stream(pair.served(0).ref);
    pair.server.e.terminate(error_code::enhance_your_calm);
    pair.pass();
    CHECK(pair.served(0).log == "DRC");
    CHECK(pair.server.e.finished());
    CHECK(pair.server.errors == 0);
    CHECK(pair.client.goaways.size() == 1);
    CHECK(call.ends == 0);
}

TEST_CASE("Commands on dead and on foreign streams do nothing")
{
    joined pair;
    recorder& call = pair.request(true);
    pair.pass();
    const stream_ref served = pair.served(0).ref;
    pair.server.e.submit_response(served, {{":status", "200"}}, true);
    pair.pass();
    CHECK_FALSE(pair.client.e.alive(call.ref));
    for (engine* e : {&pair.client.e, &pair.server.e}) {
        for (const stream_ref ref : {call.ref, served, stream_ref{}, stream_ref{77, 1}}) {
            e->send_data(ref, text("x"));
            e->end_stream(ref);
            e->submit_trailers(ref, {});
            e->submit_response(ref, {{":status", "200"}}, true);
            e->reset(ref, error_code::cancel);
            e->reset_when_sent(ref, error_code::cancel);
            e->consume(ref, 10);
        }
    }
    CHECK(pair.client.output().empty());
    CHECK(pair.server.output().empty());
    // The slot is used again, under another name.
    recorder& next = pair.request(true);
    CHECK(next.ref.slot == call.ref.slot);
    CHECK_FALSE(next.ref == call.ref);
}

TEST_CASE("The wake-up comes once for many commands, and again after collecting")
{
    joined pair;
    const int before = pair.client.wakes;
    recorder& call = pair.request(false);
    pair.client.e.send_data(call.ref, text("a"));
    pair.client.e.send_data(call.ref, text("b"));
    CHECK(pair.client.wakes == before + 1);
    CHECK(pair.client.e.wants_output());
    (void)pair.client.output();
    CHECK_FALSE(pair.client.e.wants_output());
    pair.client.e.send_data(call.ref, text("c"));
    CHECK(pair.client.wakes == before + 2);
}

TEST_CASE("PING is answered")
{
    joined pair;
    pair.server.input(frame(6, 0, 0, "12345678"));
    CHECK(pair.server.output() == frame(6, 1, 0, "12345678"));
}

TEST_CASE("Bytes may be split anywhere")
{
    const auto piece = GENERATE(1U, 2U, 3U, 5U, 8U, 9U, 10U, 13U, 23U, 24U, 25U, 100U, 16393U);
    joined pair;
    const std::string up = pattern(70000, 1);
    const std::string down = pattern(90000, 2);
    recorder& call = pair.request(false);
    pair.client.e.send_data(call.ref, text(up));
    pair.client.e.submit_trailers(call.ref, {{"sum", "1"}});
    pair.pass(piece);
    REQUIRE(pair.server.requests.size() == 1);
    pair.server.e.submit_response(pair.served(0).ref, {{":status", "200"}}, false);
    pair.server.e.send_data(pair.served(0).ref, text(down));
    pair.server.e.submit_trailers(pair.served(0).ref, {{"grpc-status", "0"}});
    pair.pass(piece);
    CHECK(pair.served(0).body == up);
    CHECK(pair.served(0).trailers);
    CHECK(call.body == down);
    CHECK(call.trailers);
    CHECK(call.closes == 1);
    CHECK(pair.client.errors + pair.server.errors == 0);
}

namespace {

/// Gives commands from inside every event: to its own stream, to others, and for new streams.
class meddler final : public stream_handler {
public:
    explicit meddler(engine& e) : e_{e} {}
    void on_headers(stream_ref s, header_list, bool) override { meddle(s); }
    void on_data(stream_ref s, buffer_slice data) override
    {
        e_.consume(s, data.size());
        meddle(s);
    }
    void on_trailers(stream_ref s, header_list) override { meddle(s); }
    void on_end(stream_ref s) override { meddle(s); }
    void on_taken(stream_ref s, std::size_t) override { meddle(s); }
    void on_reset(stream_ref s, const reset_info&) override { meddle(s); }
    void on_closed(stream_ref s) override
    {
        ++closed;
        meddle(s);
    }

    void meddle(stream_ref s)
    {
        if (opened < 40) {
            ++opened;
            const stream_ref made = e_.submit_request(
                {{":method", "POST"}, {":scheme", "http"}, {":path", "/m"}, {":authority", "a"}}, *this, false);
            e_.send_data(made, text("data"));
            if (opened % 3 == 0) {
                e_.reset(made, error_code::cancel);
            } else {
                e_.end_stream(made);
            }
        }
        if (opened % 5 == 0) {
            e_.reset(s, error_code::cancel);
        }
    }

    int opened = 0;
    int closed = 0;

private:
    engine& e_;
};

}  // namespace

TEST_CASE("Commands from inside events are safe, also resets of the stream that raised them")
{
    joined pair;
    meddler m{pair.client.e};
    m.meddle({});
    for (int round = 0; round < 60; ++round) {
        pair.pass(777);
        for (const auto& served : pair.server.requests) {
            pair.server.e.submit_response(served->ref, {{":status", "200"}}, false);
            pair.server.e.send_data(served->ref, text("answer"));
            pair.server.e.submit_trailers(served->ref, {{"grpc-status", "0"}});
        }
    }
    CHECK(m.opened == 40);
    CHECK(m.closed == 40);
    CHECK(pair.client.e.open_streams() == 0);
    CHECK(pair.client.errors + pair.server.errors == 0);
    CHECK(pair.client.e.queued() == 0);
    for (const auto& served : pair.server.requests) {
        CHECK(served->closes == 1);
    }
}

TEST_CASE("A stream can be handed to another handler from inside an event")
{
    struct first_then final : stream_handler {
        engine* e = nullptr;
        recorder* next = nullptr;
        void on_headers(stream_ref s, header_list, bool) override { e->set_handler(s, *next); }
        void on_data(stream_ref, buffer_slice) override { FAIL("not handed over"); }
        void on_trailers(stream_ref, header_list) override { FAIL("not handed over"); }
        void on_end(stream_ref) override { FAIL("not handed over"); }
        void on_reset(stream_ref, const reset_info&) override { FAIL("not handed over"); }
        void on_closed(stream_ref) override { FAIL("not handed over"); }
    };
    joined pair;
    recorder next;
    first_then handler;
    handler.e = &pair.client.e;
    handler.next = &next;
    pair.client.e.submit_request({{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {":authority", "a"}},
                                 handler, true);
    pair.pass();
    pair.server.e.submit_response(pair.served(0).ref, {{":status", "200"}}, false);
    pair.server.e.send_data(pair.served(0).ref, text("rest"));
    pair.server.e.end_stream(pair.served(0).ref);
    pair.pass();
    CHECK(next.body == "rest");
    CHECK(next.log == "DEC");
}
