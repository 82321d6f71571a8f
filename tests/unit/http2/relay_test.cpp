#include <catch2/catch.hpp>

#include "http2/pair.hpp"
#include "http2/stream_relay.hpp"

using namespace buildkit_lb;
using namespace buildkit_lb::http2;
using namespace buildkit_lb::http2::test;

namespace {

/// A proxy in memory: client -> (front: server role | back: client role) -> worker. Requests are relayed at once, or
/// held by a recorder until relay() is called.
struct proxy final : engine_handler, relay_observer {
    explicit proxy(const options& limits = {}, const options& client_limits = {}, const options& worker_limits = {})
        : client{role::client, client_limits},
          worker{role::server, worker_limits},
          front{role::server, limits, *this},
          back{role::client, limits, quiet}
    {
        pass();
    }

    struct nothing final : engine_handler {
        stream_handler* on_request(stream_ref, header_list, bool) override { return nullptr; }
    };

    struct item {
        stream_ref stream;
        header_list headers;
        recorder held;
        std::unique_ptr<stream_relay> relay;
        int closed = 0;
        std::optional<reset_info> lost;
        std::optional<reset_info> canceled;
    };

    stream_handler* on_request(stream_ref stream, header_list headers, bool) override
    {
        auto& i = *items.emplace_back(std::make_unique<item>());
        i.stream = stream;
        i.headers = std::move(headers);
        if (!hold) {
            pending.push_back(&i);
        }
        return &i.held;
    }

    void start(item& i)
    {
        i.relay = std::make_unique<stream_relay>(front, i.stream, back, *this);
        held_input held;
        if (!i.held.body.empty()) {
            held.data.push_back(text(i.held.body));
        }
        held.trailers = i.held.trailers;
        held.ended = i.held.ends > 0;
        i.relay->start(i.headers, std::move(held));
    }

    item& of(stream_relay& relay)
    {
        for (auto& i : items) {
            if (i->relay.get() == &relay) {
                return *i;
            }
        }
        throw std::logic_error("unknown relay");
    }
    void on_response(stream_relay&, header_list& headers, bool) override { headers.add("x-relayed", "yes"); }
    on_loss on_upstream_reset(stream_relay& r, const reset_info& info) override
    {
        of(r).lost = info;
        if (answer_losses) {
            front.submit_response(r.downstream_stream(), {{":status", "200"}, {"grpc-status", "14"}}, true);
            return on_loss::handled;
        }
        return on_loss::pass_on;
    }
    void on_downstream_reset(stream_relay& r, const reset_info& info) override { of(r).canceled = info; }
    void on_relay_closed(stream_relay& r) override
    {
        item& i = of(r);
        ++i.closed;
        i.relay.reset();
    }

    static std::string output(engine& e)
    {
        std::string all;
        for (bool more = true; more;) {
            std::vector<buffer_slice> out;
            more = e.collect(out, 65536) >= 65536;
            for (const buffer_slice& s : out) {
                all += s.view();
            }
        }
        return all;
    }

    bool move_all(std::size_t piece)
    {
        bool moved = false;
        const auto give = [&](const std::string& bytes, engine& to) {
            moved = moved || !bytes.empty();
            for (std::size_t at = 0; at < bytes.size(); at += piece) {
                to.receive(text(std::string_view{bytes}.substr(at, piece)));
            }
        };
        give(client.output(), front);
        for (item* i : std::exchange(pending, {})) {
            start(*i);
        }
        give(output(front), client.e);
        give(output(back), worker.e);
        give(worker.output(), back);
        return moved;
    }
    void pass(std::size_t piece = 65536)
    {
        while (move_all(piece)) {
        }
    }

    recorder& request(bool end_stream)
    {
        auto& made = calls.emplace_back(std::make_unique<recorder>());
        made->consumes = &client.e;
        made->ref = client.e.submit_request(
            {{":method", "POST"}, {":scheme", "http"}, {":path", "/x"}, {":authority", "a"}}, *made, end_stream);
        return *made;
    }
    recorder& served(std::size_t index) { return *worker.requests.at(index); }

    nothing quiet;
    bool hold = false;
    bool answer_losses = false;
    std::vector<std::unique_ptr<recorder>> calls;
    endpoint client;
    endpoint worker;
    engine front;
    engine back;
    std::vector<std::unique_ptr<item>> items;  // before the engines go
    std::vector<item*> pending;
};

}  // namespace

TEST_CASE("A call is relayed whole, in pieces of any size")
{
    const auto piece = GENERATE(std::size_t{65536}, std::size_t{1}, std::size_t{1009});
    proxy p;
    recorder& call = p.request(false);
    const std::string up = pattern(piece == 1 ? 3000 : 500000, 3);
    const std::string down = pattern(piece == 1 ? 4000 : 700000, 4);
    p.client.e.send_data(call.ref, text(up));
    p.client.e.submit_trailers(call.ref, {{"sum", "1"}});
    p.pass(piece);
    recorder& served = p.served(0);
    CHECK(served.headers.get(":path") == "/x");
    CHECK(served.body == up);
    REQUIRE(served.trailers);
    CHECK(served.trailers->get("sum") == "1");
    p.worker.e.submit_informational(served.ref, {{":status", "103"}});
    p.worker.e.submit_response(served.ref, {{":status", "200"}}, false);
    p.worker.e.send_data(served.ref, text(down));
    p.worker.e.submit_trailers(served.ref, {{"grpc-status", "0"}});
    p.pass(piece);
    CHECK(call.informational.size() == 1);
    CHECK(call.headers.get("x-relayed") == "yes");
    CHECK(call.body == down);
    REQUIRE(call.trailers);
    CHECK(call.trailers->get("grpc-status") == "0");
    CHECK(call.closes == 1);
    CHECK(p.items[0]->closed == 1);
    for (engine* e : {&p.front, &p.back}) {
        CHECK(e->buffered() == 0);
        CHECK(e->queued() == 0);
        CHECK(e->open_streams() == 0);
    }
}

TEST_CASE("Answers of trailers only, and of headers and an end, keep their shape")
{
    proxy p;
    recorder& only = p.request(true);
    recorder& empty = p.request(true);
    p.pass();
    p.worker.e.submit_response(p.served(0).ref, {{":status", "200"}, {"grpc-status", "5"}}, true);
    p.worker.e.submit_response(p.served(1).ref, {{":status", "200"}}, false);
    p.worker.e.end_stream(p.served(1).ref);
    p.pass();
    CHECK(only.headers_ended);
    CHECK(only.log == "HEC");
    CHECK_FALSE(empty.headers_ended);
    CHECK(empty.log == "HEC");
    CHECK(p.served(0).headers_ended);  // and so does a request without a body
}

TEST_CASE("A half-closed stream goes on the other way")
{
    proxy p;
    recorder& call = p.request(false);
    p.pass();
    p.worker.e.submit_response(p.served(0).ref, {{":status", "200"}}, false);
    p.pass();
    p.client.e.end_stream(call.ref);
    p.pass();
    CHECK(p.served(0).log == "E");
    p.worker.e.send_data(p.served(0).ref, text("still here"));
    p.pass();
    CHECK(call.body == "still here");
    CHECK(call.closes == 0);
}

TEST_CASE("Resets are relayed with their codes both ways")
{
    proxy p;
    recorder& canceled = p.request(false);
    recorder& failed = p.request(false);
    p.pass();
    p.client.e.reset(canceled.ref, error_code::cancel);
    p.worker.e.reset(p.served(1).ref, error_code::enhance_your_calm);
    p.pass();
    REQUIRE(p.served(0).reset);
    CHECK(p.served(0).reset->code == error_code::cancel);
    CHECK(p.items[0]->canceled);
    REQUIRE(failed.reset);
    CHECK(failed.reset->code == error_code::enhance_your_calm);
    CHECK(p.items[1]->lost);
    CHECK(p.items[0]->closed == 1);
    CHECK(p.items[1]->closed == 1);
}

TEST_CASE("An early answer with its reset behind it arrives complete")
{
    proxy p;
    recorder& call = p.request(false);
    p.client.e.send_data(call.ref, text(pattern(5000000)));
    p.worker.consumes = false;
    p.pass();
    const stream_ref served = p.served(0).ref;
    p.worker.e.submit_response(served, {{":status", "200"}}, false);
    p.worker.e.send_data(served, text(pattern(2000000)));
    p.worker.e.submit_trailers(served, {{"grpc-status", "8"}});
    p.worker.e.reset_when_sent(served, error_code::no_error);
    p.pass();
    CHECK(call.body == pattern(2000000));
    REQUIRE(call.trailers);
    CHECK(call.ends == 1);
    REQUIRE(call.reset);
    CHECK(call.reset->code == error_code::no_error);
    CHECK(p.items[0]->closed == 1);
    CHECK(p.front.buffered() == 0);
    CHECK(p.back.buffered() == 0);
}

TEST_CASE("A client that is gone cancels its calls upstream; a worker that is gone is up to the observer")
{
    proxy p;
    p.request(false);
    p.pass();
    p.front.connection_lost("client gone");
    p.pass();
    REQUIRE(p.served(0).reset);
    CHECK(p.served(0).reset->code == error_code::cancel);
    CHECK(p.items[0]->closed == 1);

    proxy q;
    q.answer_losses = true;
    recorder& call = q.request(false);
    q.client.e.send_data(call.ref, text(pattern(3000000)));
    q.worker.consumes = false;
    q.pass();
    q.back.connection_lost("worker gone");
    q.pass();
    CHECK(call.headers.get("grpc-status") == "14");
    CHECK(call.ends == 1);
    CHECK_FALSE(call.reset);
    // The rest of the request is taken and dropped.
    q.client.e.end_stream(call.ref);
    q.pass();
    CHECK(call.taken == 3000000);
    CHECK(q.front.buffered() == 0);
    CHECK(q.items[0]->closed == 1);
    CHECK(q.items[0]->lost->source == reset_source::connection);
}

TEST_CASE("Credit goes back only when the other side has taken the bytes")
{
    options small;
    small.initial_stream_window = 65535;
    small.max_stream_window = 65535;
    proxy p{small, {}, small};
    p.worker.consumes = false;
    recorder& call = p.request(false);
    p.client.e.send_data(call.ref, text(pattern(1000000)));
    p.pass();
    // The worker holds one window, the proxy no more than another; the rest waits at the client.
    CHECK(p.served(0).body.size() == 65535);
    CHECK(p.front.buffered() <= 65535);
    CHECK(p.front.buffered() == p.back.queued());
    CHECK(p.client.e.queued() >= 1000000 - 3 * 65535);

    // Another call is not held up.
    recorder& other = p.request(false);
    p.worker.consumes = true;
    p.client.e.send_data(other.ref, text(pattern(400000)));
    p.client.e.end_stream(other.ref);
    p.pass();
    CHECK(p.served(1).body.size() == 400000);

    while (p.served(0).body.size() < 1000000) {
        p.worker.e.consume(p.served(0).ref, p.worker.e.unconsumed(p.served(0).ref));
        p.pass();
    }
    CHECK(p.served(0).body == pattern(1000000));
    CHECK(p.front.buffered() == 0);
    CHECK(p.back.queued() == 0);
}

TEST_CASE("A slow client stalls its own answer only, and the worker's bytes stay charged")
{
    options small;
    small.initial_stream_window = 65535;
    small.max_stream_window = 65535;
    proxy p{small, small, {}};
    recorder& slow = p.request(true);
    slow.consumes = nullptr;
    recorder& quick = p.request(true);
    p.pass();
    for (std::size_t i = 0; i < 2; ++i) {
        p.worker.e.submit_response(p.served(i).ref, {{":status", "200"}}, false);
        p.worker.e.send_data(p.served(i).ref, text(pattern(130000)));
        p.worker.e.submit_trailers(p.served(i).ref, {{"grpc-status", "0"}});
    }
    p.pass();
    CHECK(quick.body.size() == 130000);
    CHECK(quick.closes == 1);
    CHECK(slow.body.size() == 65535);
    CHECK(p.back.buffered() == p.front.queued());
    p.client.e.consume(slow.ref, 65535);
    p.pass();
    // The worker's stream is over, what the client has not taken is not forgotten.
    CHECK(p.served(0).closes == 1);
    CHECK(p.back.buffered() == p.front.queued());
    p.client.e.consume(slow.ref, 65535);
    p.pass();
    CHECK(slow.body == pattern(130000));
    CHECK(slow.closes == 1);
    CHECK(p.back.buffered() == 0);
    CHECK(p.items[0]->closed == 1);
}

TEST_CASE("A stream that was read and held first is handed over with all that was received")
{
    proxy p;
    p.hold = true;
    recorder& open = p.request(false);
    recorder& ended = p.request(false);
    recorder& empty = p.request(true);
    recorder& with_trailers = p.request(false);
    p.client.e.send_data(open.ref, text("first message"));
    p.client.e.send_data(ended.ref, text("only message"));
    p.client.e.end_stream(ended.ref);
    p.client.e.submit_trailers(with_trailers.ref, {{"t", "1"}});
    p.pass();
    CHECK(p.worker.requests.empty());
    CHECK(p.front.buffered() == 25);
    for (auto& i : p.items) {
        p.start(*i);
    }
    p.client.e.send_data(open.ref, text(", the rest"));
    p.client.e.end_stream(open.ref);
    p.pass();
    REQUIRE(p.worker.requests.size() == 4);
    CHECK(p.served(0).body == "first message, the rest");
    CHECK(p.served(0).ends == 1);
    CHECK(p.served(1).body == "only message");
    CHECK(p.served(1).ends == 1);
    CHECK(p.served(2).headers_ended);
    CHECK(p.served(3).trailers);
    CHECK(p.front.buffered() == 0);
    CHECK(empty.log.empty());
}

TEST_CASE("A relay that is destroyed under way resets both streams")
{
    proxy p;
    recorder& call = p.request(false);
    p.pass();
    p.items[0]->relay.reset();
    p.client.e.send_data(call.ref, text("late"));
    p.pass();
    REQUIRE(call.reset);
    REQUIRE(p.served(0).reset);
    CHECK(p.served(0).reset->code == error_code::cancel);
    CHECK(p.front.open_streams() == 0);
    CHECK(p.back.open_streams() == 0);
}

TEST_CASE("A trailer of 1 MiB passes the relay")
{
    proxy p;
    recorder& call = p.request(true);
    p.pass();
    const header_list trailers{{"grpc-status", "2"}, {"grpc-status-details-bin", std::string(1 << 20, 'Q')}};
    p.worker.e.submit_response(p.served(0).ref, {{":status", "200"}}, false);
    p.worker.e.submit_trailers(p.served(0).ref, trailers);
    p.pass();
    REQUIRE(call.trailers);
    CHECK(*call.trailers == trailers);
}
