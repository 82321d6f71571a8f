#include "tls/handshake.hpp"

#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <catch2/catch.hpp>
#include <sys/socket.h>
#include <unistd.h>

#include "core/event.hpp"
#include "core/task_group.hpp"
#include "support/certificates.hpp"

namespace buildkit_lb::tls {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using test::self_signed;

namespace {

/// Both ends of a connection, each with a handshake of its own.
struct meeting {
    result<socket> client = failure{};
    result<socket> server = failure{};
    std::string server_sees;  // the client's name
    std::string dialled;      // the name that the client told
    bool resumed = false;
};

asio::awaitable<void> one_end(stream_socket under, ssl_ptr state, failure_source from, result<socket>& out)
{
    auto shaking = shake_hands(std::move(under), std::move(state), clock::now() + 10s, from);
    result<socket> outcome = co_await std::move(shaking);
    out = std::move(outcome);
}

std::array<stream_socket, 2> connected_pair(asio::io_context& io)
{
    std::array<int, 2> fds{};
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, fds.data()) == 0);
    const asio::generic::stream_protocol any{AF_UNIX, 0};
    return {stream_socket{io, any, fds[0]}, stream_socket{io, any, fds[1]}};
}

void run(asio::io_context& io)
{
    io.restart();
    io.run_for(20s);
}

meeting meet(asio::io_context& io, const server_context& server, const client_context& client, const std::string& host)
{
    meeting m;
    auto pair = connected_pair(io);
    task_group tasks{io.get_executor()};
    tasks.spawn("client", one_end(std::move(pair[0]), client.connect(host), failure_source::upstream, m.client));
    tasks.spawn("server", one_end(std::move(pair[1]), server.accept(), failure_source::downstream, m.server));
    run(io);
    if (m.server) {
        m.server_sees = server.client_name(*m.server->ssl);
        m.dialled = server_context::dialled_name(*m.server->ssl);
        m.resumed = SSL_session_reused(m.server->ssl.get()) == 1;
    }
    return m;
}

std::shared_ptr<const server_context> demanding(const self_signed& shown, const self_signed& trusted,
                                                std::vector<std::string> names = {})
{
    auto files = shown.server();
    files.client_ca = trusted.cert();
    files.allow_names = std::move(names);
    return server_context::make(files, inner_protocol::http2).value();
}

/// Sends `count` bytes from one end to the other by transports as connections use them.
struct mover {
    std::unique_ptr<byte_transport> from;
    std::unique_ptr<byte_transport> to;
    std::string sent;
    std::string got;
    std::size_t done = 0;
    bool ended = false;

    void send()
    {
        while (done < sent.size()) {
            // Slices of all sizes: below a record, and many of them.
            std::vector<buffer_slice> slices;
            std::size_t at = done;
            for (std::size_t size = 1; at < sent.size() && slices.size() < 40; size = size * 3 + 1) {
                const std::string_view part =
                    std::string_view{sent}.substr(at, std::min<std::size_t>(size % 50'000, 40'000) + 1);
                slices.push_back(buffer_slice::copy_of(part));
                at += part.size();
            }
            const auto wrote = from->write(slices);
            if (wrote.error == asio::error::would_block) {
                from->wait_writable(
                    {[](void* self, const boost::system::error_code&) { static_cast<mover*>(self)->send(); }, this});
                return;
            }
            REQUIRE(!wrote.error);
            done += wrote.bytes;
        }
        from->shutdown_write();
    }

    void receive()
    {
        std::array<std::byte, 5000> block;  // smaller than a record: some of it stays in OpenSSL
        // Not all that is there, as a connection that gives others their turn.
        for (int round = 0; round < 7; ++round) {
            const auto read = to->read(block);
            if (read.error == asio::error::would_block) {
                break;
            }
            REQUIRE(!read.error);
            if (read.bytes == 0) {
                ended = true;
                return;
            }
            got.append(reinterpret_cast<const char*>(block.data()), read.bytes);
        }
        to->wait_readable(
            {[](void* self, const boost::system::error_code&) { static_cast<mover*>(self)->receive(); }, this});
    }
};

}  // namespace

TEST_CASE("both ends come to know each other")
{
    asio::io_context io;
    const self_signed lb;
    const self_signed ci{"runner.ci.example"};
    const auto server = demanding(lb, ci, {"*.ci.example"});
    auto files = ci.client();
    files.ca = lb.cert();
    const auto client = client_context::make(files).value();

    const auto first = meet(io, *server, *client, "lb.example");
    REQUIRE(first.client.has_value());
    REQUIRE(first.server.has_value());
    CHECK(first.server_sees == "runner.ci.example");
    CHECK(first.dialled == "lb.example");
    CHECK_FALSE(first.resumed);
    const auto by_address = meet(io, *server, *client, "127.0.0.1");
    CHECK(by_address.client.has_value());
    CHECK(by_address.dialled.empty());
}

TEST_CASE("a worker's certificate has to be for its host and from an authority that is trusted")
{
    asio::io_context io;
    const self_signed lb;
    const self_signed other;
    const auto server = server_context::make(lb.server(), inner_protocol::http2).value();
    const auto trusting = client_context::make({lb.cert(), {}, {}, {}}).value();
    const auto distrusting = client_context::make({other.cert(), {}, {}, {}}).value();

    CHECK(meet(io, *server, *trusting, "lb.example").client.has_value());
    const auto misnamed = meet(io, *server, *trusting, "else.example");
    REQUIRE_FALSE(misnamed.client.has_value());
    CHECK(misnamed.client.error().code == errc::tls);
    CHECK_THAT(misnamed.client.error().detail, Catch::Contains("not accepted: hostname mismatch"));
    CHECK_FALSE(meet(io, *server, *trusting, "127.0.0.2").client.has_value());
    CHECK_FALSE(meet(io, *server, *distrusting, "lb.example").client.has_value());
    const auto renamed = client_context::make({lb.cert(), {}, {}, "lb.example"}).value();
    CHECK(meet(io, *server, *renamed, "127.0.0.2").client.has_value());
}

TEST_CASE("a client without the certificate that is demanded is refused with the reason")
{
    asio::io_context io;
    const self_signed lb;
    const self_signed ci{"runner.ci.example"};
    auto files = ci.client();
    files.ca = lb.cert();
    const auto client = client_context::make(files).value();
    const auto nobody = client_context::make({lb.cert(), {}, {}, {}}).value();

    const auto without = meet(io, *demanding(lb, ci), *nobody, "lb.example");
    REQUIRE_FALSE(without.server.has_value());
    CHECK_THAT(without.server.error().detail, Catch::Contains("peer did not return a certificate"));
    const auto stranger = meet(io, *demanding(lb, lb), *client, "lb.example");
    REQUIRE_FALSE(stranger.server.has_value());
    CHECK(stranger.server.error().code == errc::tls);
    const auto other_name = meet(io, *demanding(lb, ci, {"admin"}), *client, "lb.example");
    REQUIRE_FALSE(other_name.server.has_value());
    CHECK_THAT(other_name.server.error().detail, Catch::Contains("none of the names that are allowed"));
}

TEST_CASE("what speaks no TLS is refused, and what says nothing is timed out")
{
    asio::io_context io;
    const self_signed lb;
    const auto server = server_context::make(lb.server(), inner_protocol::http2).value();
    for (const std::string_view said : {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", ""}) {
        auto pair = connected_pair(io);
        result<socket> outcome = failure{};
        task_group tasks{io.get_executor()};
        auto shaking = [&]() -> asio::awaitable<void> {
            auto waiting =
                shake_hands(std::move(pair[1]), server->accept(), clock::now() + 50ms, failure_source::downstream);
            result<socket> ended = co_await std::move(waiting);
            outcome = std::move(ended);
        };
        ::send(pair[0].native_handle(), said.data(), said.size(), 0);
        tasks.spawn("server", shaking());
        run(io);
        REQUIRE_FALSE(outcome.has_value());
        CHECK(outcome.error().code == (said.empty() ? errc::timed_out : errc::tls));
        CHECK(outcome.error().source == failure_source::downstream);
    }
}

TEST_CASE("bytes arrive as they were sent, whatever the sizes, and the end after them; sessions are resumed")
{
    asio::io_context io;
    const self_signed lb;
    const auto server = server_context::make(lb.server(), inner_protocol::any).value();
    const auto client = client_context::make({lb.cert(), {}, {}, {}}).value();
    for (const bool again : {false, true}) {
        auto m = meet(io, *server, *client, "lb.example");
        REQUIRE(m.client.has_value());
        REQUIRE(m.server.has_value());
        CHECK(m.resumed == again);
        std::string text(3'000'000, '\0');
        for (std::size_t i = 0; i < text.size(); ++i) {
            text[i] = static_cast<char>('a' + (i * i / 7) % 26);
        }
        // The client reads, and so gets the session for the next time.
        mover down{make_transport(std::move(*m.server)), make_transport(std::move(*m.client)), text, {}};
        down.send();
        down.receive();
        run(io);
        CHECK(down.ended);
        CHECK(down.got == text);
        down.from->close();
        down.to->close();
    }
}

}  // namespace buildkit_lb::tls
