#include "http2/connection.hpp"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <catch2/catch.hpp>
#include <functional>
#include <map>
#include <sys/socket.h>

#include "http2/echo_service.hpp"
#include "http2/stream_relay.hpp"

using namespace buildkit_lb;
using namespace buildkit_lb::http2;
using namespace std::chrono_literals;

namespace asio = boost::asio;
using stream_protocol = asio::generic::stream_protocol;

namespace {

/// Two connected sockets. Small kernel buffers make writing block soon.
std::pair<stream_protocol::socket, stream_protocol::socket> socket_pair(asio::io_context& context)
{
    int fds[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
    const int size = 8192;
    for (const int fd : fds) {
        ::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    }
    const stream_protocol protocol{AF_UNIX, 0};
    return {stream_protocol::socket{context, protocol, fds[0]}, stream_protocol::socket{context, protocol, fds[1]}};
}

struct quiet_handler final : engine_handler {
    stream_handler* on_request(stream_ref, header_list, bool) override { return nullptr; }
    void on_goaway(const goaway_info&) override { ++goaways; }
    void on_error(const connection_error& error) override { errors.emplace_back(error.kind); }
    int goaways = 0;
    std::vector<std::string> errors;
};

/// One call of a client: sends `body`, and takes what comes.
struct call final : stream_handler {
    call(engine& on, const std::string& path, std::size_t body) : e{on}, to_send{body}
    {
        ref = e.submit_request({{":method", "POST"}, {":scheme", "http"}, {":path", path}, {":authority", "a"}}, *this,
                               body == 0);
        if (body > 0) {
            send_more();
        }
    }
    void send_more()
    {
        while (to_send > 0 && e.queued(ref) < 200000) {
            std::string piece(std::min<std::size_t>(to_send, 50000), '\0');
            for (char& c : piece) {
                c = static_cast<char>(sent++ % 251);
            }
            to_send -= piece.size();
            e.send_data(ref, buffer_slice::copy_of(piece));
        }
        if (to_send == 0) {
            e.submit_trailers(ref, {{"x-sum", std::to_string(sent)}});
        }
    }
    void on_headers(stream_ref, header_list h, bool) override { status = std::string{h.get(":status")}; }
    void on_data(stream_ref s, buffer_slice data) override
    {
        for (const std::byte b : data.span()) {
            in_order = in_order && std::to_integer<std::size_t>(b) == received % 251;
            ++received;
        }
        if (!stalled) {
            e.consume(s, data.size());
        }
    }
    void on_taken(stream_ref, std::size_t) override
    {
        if (to_send > 0) {
            send_more();
        }
    }
    void on_trailers(stream_ref, header_list t) override { sum = std::string{t.get("x-sum")}; }
    void on_end(stream_ref) override { ended = true; }
    void on_reset(stream_ref, const reset_info& info) override { reset = info; }
    void on_closed(stream_ref) override
    {
        ++closes;
        if (then) {
            then();
        }
    }

    engine& e;
    stream_ref ref;
    std::size_t to_send;
    std::size_t sent = 0;
    std::size_t received = 0;
    bool in_order = true;
    bool stalled = false;
    bool ended = false;
    std::string status;
    std::string sum;
    std::optional<reset_info> reset;
    int closes = 0;
    std::function<void()> then;
};

/// A client and an echoing server on a pair of sockets, in one thread.
struct fixture {
    fixture() : fixture(options{}) {}
    explicit fixture(const options& limits)
    {
        auto [a, b] = socket_pair(context);
        client = std::make_unique<connection>(std::move(a), role::client, limits, quiet);
        server = std::make_unique<connection>(std::move(b), role::server, limits, service);
        service.serve(server->engine());
        start(*client, client_done);
        start(*server, server_done);
    }
    void start(connection& c, bool& done)
    {
        asio::co_spawn(context, c.run(), [&done](const std::exception_ptr& error) {
            CHECK_FALSE(error);
            done = true;
        });
    }
    /// Runs until `condition` holds; false after ten seconds.
    template <class Condition>
    bool until(Condition condition)
    {
        const auto deadline = std::chrono::steady_clock::now() + 10s;
        while (!condition() && std::chrono::steady_clock::now() < deadline) {
            context.restart();
            context.run_one_for(100ms);
        }
        return condition();
    }
    bool both_done()
    {
        return until([&] { return client_done && server_done; });
    }

    asio::io_context context{1};
    quiet_handler quiet;
    test::echo_service service;
    std::unique_ptr<connection> client;
    std::unique_ptr<connection> server;
    bool client_done = false;
    bool server_done = false;
};

}  // namespace

TEST_CASE("Calls run over a socket, their bodies whole and in order both ways")
{
    fixture f;
    std::vector<std::unique_ptr<call>> calls;
    for (int i = 0; i < 20; ++i) {
        calls.push_back(std::make_unique<call>(f.client->engine(), "/echo", 300000 + static_cast<std::size_t>(i)));
    }
    REQUIRE(f.until([&] { return std::all_of(calls.begin(), calls.end(), [](auto& c) { return c->closes > 0; }); }));
    for (const auto& c : calls) {
        CHECK(c->status == "200");
        CHECK(c->received == c->sent);
        CHECK(c->in_order);
        CHECK(c->sum == std::to_string(c->sent));
        CHECK(c->closes == 1);
    }
    CHECK(f.client->bytes_out() >= 20 * 300000);
    CHECK(f.client->bytes_in() >= 20 * 300000);
    CHECK(f.until([&] { return f.server->bytes_in() == f.client->bytes_out(); }));
    CHECK(f.server->engine().buffered() == 0);
    CHECK(f.service.open() == 0);
    f.client->close();
    CHECK(f.both_done());
}

TEST_CASE("A graceful close lets the calls under way end, and takes no more")
{
    fixture f;
    call slow{f.client->engine(), "/bytes/3000000", 0};
    call later{f.client->engine(), "/x", 0};
    REQUIRE(f.until([&] { return f.service.requests == 2; }));
    f.server->close_gracefully();
    REQUIRE(f.both_done());
    CHECK(slow.received == 3000000);
    CHECK(slow.ended);
    CHECK(later.ended);
    CHECK(f.quiet.goaways == 1);
    CHECK(f.server->closed());
    call refused{f.client->engine(), "/x", 0};
    CHECK_FALSE(f.client->engine().accepts_requests());
}

TEST_CASE("Closing ends both sides at once, and every stream")
{
    fixture f;
    call slow{f.client->engine(), "/bytes/300000000", 0};
    REQUIRE(f.until([&] { return slow.received > 1000000; }));
    f.server->close();
    CHECK(slow.closes == 0);
    REQUIRE(f.both_done());
    CHECK(slow.closes == 1);
    REQUIRE(slow.reset);
    CHECK(slow.reset->source == reset_source::connection);
    CHECK_FALSE(slow.ended);
    CHECK(f.service.open() == 0);
}

TEST_CASE("A connection that the peer ends in the middle is told as lost, before its streams, and once")
{
    fixture f;
    call slow{f.client->engine(), "/bytes/300000000", 0};
    REQUIRE(f.until([&] { return slow.received > 1000000; }));
    std::size_t told_before = 0;
    slow.then = [&] { told_before = f.quiet.errors.size(); };
    f.server->close();
    REQUIRE(f.both_done());
    CHECK(f.quiet.errors == std::vector<std::string>{"lost"});
    CHECK(told_before == 1);
    CHECK(f.service.last_error.empty());  // of the side that has closed it itself
}

TEST_CASE("A connection that was closed in order is not lost")
{
    fixture f;
    call one{f.client->engine(), "/x", 0};
    REQUIRE(f.until([&] { return one.closes == 1; }));
    (GENERATE(false, true) ? f.client : f.server)->close_gracefully();
    REQUIRE(f.both_done());
    CHECK(f.quiet.errors.empty());
    CHECK(f.service.last_error.empty());
}

TEST_CASE("A connection may be closed from inside its events")
{
    fixture f;
    call one{f.client->engine(), "/x", 0};
    one.then = [&] { f.client->close(); };
    REQUIRE(f.both_done());
    CHECK(one.closes == 1);
}

TEST_CASE("Cancelling run() closes the connection in order")
{
    asio::io_context context{1};
    auto [a, b] = socket_pair(context);
    quiet_handler quiet;
    connection client{std::move(a), role::client, options{}, quiet};
    asio::cancellation_signal signal;
    bool done = false;
    asio::co_spawn(context, client.run(), asio::bind_cancellation_slot(signal.slot(), [&](const std::exception_ptr& e) {
                       CHECK_FALSE(e);
                       done = true;
                   }));
    call waits{client.engine(), "/x", 0};
    context.poll();
    CHECK_FALSE(done);
    signal.emit(asio::cancellation_type::terminal);
    context.restart();
    context.run_for(5s);
    CHECK(done);
    CHECK(waits.closes == 1);
}

TEST_CASE("A peer that sends garbage is told so and dropped")
{
    asio::io_context context{1};
    auto [a, b] = socket_pair(context);
    test::echo_service service;
    connection server{std::move(b), role::server, options{}, service};
    service.serve(server.engine());
    bool done = false;
    asio::co_spawn(context, server.run(), [&](const std::exception_ptr&) { done = true; });
    const std::string garbage = "GET / HTTP/1.1\r\nHost: example.test\r\n\r\n";
    REQUIRE(::send(a.native_handle(), garbage.data(), garbage.size(), 0) > 0);
    std::string answer;
    const auto deadline = std::chrono::steady_clock::now() + 10s;
    while (std::chrono::steady_clock::now() < deadline) {
        context.restart();
        context.run_one_for(20ms);
        char piece[1000];
        const ssize_t got = ::recv(a.native_handle(), piece, sizeof piece, MSG_DONTWAIT);
        if (got == 0) {
            break;
        }
        if (got > 0) {
            answer.append(piece, static_cast<std::size_t>(got));
        }
    }
    CHECK(answer.find(std::string{"\x07\0\0\0\0\0", 6}) != std::string::npos);  // GOAWAY
    CHECK(service.last_error == "bad_preface");
    a.close();
    context.restart();
    context.run_for(5s);
    CHECK(done);
}

TEST_CASE("A peer that stays after the end is not waited for long")
{
    asio::io_context context{1};
    auto [a, b] = socket_pair(context);
    test::echo_service service;
    connection server{std::move(b), role::server, options{}, service};
    service.serve(server.engine());
    bool done = false;
    asio::co_spawn(context, server.run(), [&](const std::exception_ptr&) { done = true; });
    server.close_gracefully();
    const auto start = std::chrono::steady_clock::now();
    while (!done && std::chrono::steady_clock::now() < start + 10s) {
        context.restart();
        context.run_one_for(100ms);
    }
    CHECK(done);
}

TEST_CASE("A reader that stops stalls its stream and no other, and the process keeps little")
{
    fixture f;
    call stalled{f.client->engine(), "/bytes/100000000", 0};
    stalled.stalled = true;
    REQUIRE(f.until([&] { return stalled.received == 256 * 1024; }));
    for (int i = 0; i < 5; ++i) {
        call quick{f.client->engine(), "/bytes/2000000", 0};
        REQUIRE(f.until([&] { return quick.closes == 1; }));
        CHECK(quick.received == 2000000);
    }
    CHECK(stalled.received == 256 * 1024);
    CHECK(f.server->engine().queued() < 1000000);
    f.client->engine().reset(stalled.ref, error_code::cancel);
    REQUIRE(f.until([&] { return f.service.open() == 0; }));
    CHECK(f.client->engine().buffered() == 0);
    f.client->close();
    CHECK(f.both_done());
}

namespace {

/// Relays every request of one connection to another.
struct relaying final : engine_handler, relay_observer {
    stream_handler* on_request(stream_ref stream, header_list headers, bool end_stream) override
    {
        auto made = std::make_unique<stream_relay>(front->engine(), stream, back->engine(), *this);
        stream_relay& relay = *made;
        relays.emplace(&relay, std::move(made));
        held_input held;
        held.ended = end_stream;
        relay.start(headers, std::move(held));
        return nullptr;
    }
    void on_relay_closed(stream_relay& relay) override { relays.erase(&relay); }

    connection* front = nullptr;
    connection* back = nullptr;
    std::map<stream_relay*, std::unique_ptr<stream_relay>> relays;
};

}  // namespace

TEST_CASE("Calls pass through a relay between two connections")
{
    fixture f;  // its server is the worker; its client is the relay's upstream connection
    auto [a, b] = socket_pair(f.context);
    relaying proxy;
    connection front{std::move(b), role::server, options{}, proxy};
    proxy.front = &front;
    proxy.back = f.client.get();
    quiet_handler quiet;
    connection client{std::move(a), role::client, options{}, quiet};
    bool front_done = false;
    bool client_done = false;
    f.start(front, front_done);
    f.start(client, client_done);

    std::vector<std::unique_ptr<call>> calls;
    for (int i = 0; i < 10; ++i) {
        calls.push_back(std::make_unique<call>(client.engine(), "/echo", i % 2 == 0 ? 1000000 : 7));
    }
    call down{client.engine(), "/bytes/5000000", 0};
    call gone{client.engine(), "/bytes/500000000", 0};
    REQUIRE(f.until([&] { return gone.received > 100000; }));
    client.engine().reset(gone.ref, error_code::cancel);
    REQUIRE(f.until([&] { return std::all_of(calls.begin(), calls.end(), [](auto& c) { return c->closes > 0; }); }));
    REQUIRE(f.until([&] { return down.closes > 0 && proxy.relays.empty(); }));
    for (const auto& c : calls) {
        CHECK(c->received == c->sent);
        CHECK(c->in_order);
        CHECK(c->sum == std::to_string(c->sent));
    }
    CHECK(down.received == 5000000);
    CHECK(f.until([&] { return f.service.open() == 0; }));
    CHECK(front.engine().buffered() == 0);
    CHECK(f.client->engine().buffered() == 0);
    CHECK(front.engine().queued() == 0);

    // The worker goes away: what was relayed is reset.
    call last{client.engine(), "/bytes/500000000", 0};
    REQUIRE(f.until([&] { return last.received > 100000; }));
    f.server->close();
    REQUIRE(f.until([&] { return last.closes == 1; }));
    CHECK(last.reset);
    CHECK(proxy.relays.empty());
    client.close();
    REQUIRE(f.until([&] { return front_done && client_done && f.client_done && f.server_done; }));
}
