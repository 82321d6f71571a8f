#include "buildkit/grpc_framing.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <string>
#include <vector>

using namespace buildkit_lb;
using namespace buildkit_lb::buildkit;

namespace {

/// Feeds `bytes` in chunks of `size` and returns the messages; fails the test on an error.
std::vector<grpc_message> read_in_chunks(message_reader& reader, std::string_view bytes, std::size_t size)
{
    std::vector<grpc_message> out;
    while (!bytes.empty()) {
        std::string_view chunk = bytes.substr(0, size);
        bytes.remove_prefix(chunk.size());
        while (!chunk.empty()) {
            auto message = reader.next(chunk);
            REQUIRE(message.has_value());
            if (*message) {
                out.push_back(std::move(**message));
            }
        }
    }
    return out;
}

}  // namespace

TEST_CASE("a message header is the flag and the length, big endian")
{
    const auto header = message_header(0x01020304, true);
    CHECK(std::string(header.data(), header.size()) == std::string("\x01\x01\x02\x03\x04", 5));
    CHECK(framed("ab") == std::string("\0\0\0\0\2ab", 7));
    CHECK(framed("").size() == message_header_size);
}

TEST_CASE("messages come out the same for every size of chunk")
{
    const std::string big(70'000, 'x');
    const std::string bytes = framed("first") + framed("") + framed("\x1f\x8b", true) + framed(big) + framed("");
    for (const std::size_t size : {std::size_t{1}, std::size_t{2}, std::size_t{3}, std::size_t{5}, std::size_t{7},
                                   std::size_t{16384}, bytes.size()}) {
        CAPTURE(size);
        message_reader reader{failure_source::downstream};
        const auto messages = read_in_chunks(reader, bytes, size);
        REQUIRE(messages.size() == 5);
        CHECK(messages[0].payload == "first");
        CHECK(messages[1].payload.empty());
        CHECK(messages[2].payload == "\x1f\x8b");
        CHECK(messages[2].compressed);
        CHECK(messages[3].payload == big);
        CHECK_FALSE(messages[3].compressed);
        CHECK(messages[4].payload.empty());
        CHECK(reader.messages() == 5);
        CHECK(reader.at_boundary());
        CHECK(reader.held() == 0);
    }
}

TEST_CASE("what follows a message stays in the chunk")
{
    message_reader reader{failure_source::downstream};
    const std::string bytes = framed("one") + framed("two");
    std::string_view chunk{bytes};
    const auto message = reader.next(chunk);
    REQUIRE(message.has_value());
    REQUIRE(message->has_value());
    CHECK((*message)->payload == "one");
    CHECK((*message)->framed() == framed("one"));
    CHECK(chunk == framed("two"));
}

TEST_CASE("an announced message takes no memory until its bytes come")
{
    message_reader reader{failure_source::downstream};
    const auto header = message_header(16 << 20);
    std::string_view chunk{header.data(), header.size()};
    const auto message = reader.next(chunk);
    REQUIRE(message.has_value());
    CHECK_FALSE(message->has_value());
    CHECK(reader.held() == 0);
    CHECK_FALSE(reader.at_boundary());
}

TEST_CASE("a message over the limit is refused at its header and the reader stays failed")
{
    message_reader reader{failure_source::upstream, 10};
    std::string bytes = framed("0123456789");
    std::string_view chunk{bytes};
    REQUIRE(reader.next(chunk).has_value());

    bytes = framed("0123456789a").substr(0, message_header_size);
    chunk = bytes;
    const auto refused = reader.next(chunk);
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().code == errc::too_large);
    CHECK(refused.error().source == failure_source::upstream);
    bytes = framed("x");
    chunk = bytes;
    CHECK_FALSE(reader.next(chunk).has_value());
}

TEST_CASE("the default limit lets sixteen mebibytes pass and not much more")
{
    message_scanner scanner{failure_source::downstream};
    auto header = message_header(16 << 20);
    std::string_view chunk{header.data(), header.size()};
    CHECK(scanner.next(chunk).has_value());

    message_scanner other{failure_source::downstream};
    header = message_header(17 << 20);
    chunk = {header.data(), header.size()};
    CHECK_FALSE(other.next(chunk).has_value());
}

TEST_CASE("a compression flag that gRPC does not have is a protocol error")
{
    message_reader reader{failure_source::downstream};
    const std::string bytes("\x02\0\0\0\1x", 6);
    std::string_view chunk{bytes};
    const auto message = reader.next(chunk);
    REQUIRE_FALSE(message.has_value());
    CHECK(message.error().code == errc::protocol);
}

TEST_CASE("the scanner hands out pieces and knows where a message of our own may go")
{
    message_scanner scanner{failure_source::upstream};
    CHECK(scanner.at_boundary());
    const std::string bytes = framed("abcdef");

    std::string_view chunk = std::string_view{bytes}.substr(0, 3);
    auto piece = scanner.next(chunk);
    REQUIRE(piece.has_value());
    CHECK_FALSE(piece->has_value());
    CHECK_FALSE(scanner.at_boundary());

    chunk = std::string_view{bytes}.substr(3, 4);  // the rest of the header and two bytes
    piece = scanner.next(chunk);
    REQUIRE(piece.has_value());
    REQUIRE(piece->has_value());
    CHECK((*piece)->bytes == "ab");
    CHECK((*piece)->length == 6);
    CHECK((*piece)->first);
    CHECK_FALSE((*piece)->last);
    CHECK_FALSE(scanner.at_boundary());

    chunk = {};
    piece = scanner.next(chunk);
    REQUIRE(piece.has_value());
    CHECK_FALSE(piece->has_value());

    chunk = std::string_view{bytes}.substr(7);
    piece = scanner.next(chunk);
    REQUIRE(piece.has_value());
    REQUIRE(piece->has_value());
    CHECK((*piece)->bytes == "cdef");
    CHECK_FALSE((*piece)->first);
    CHECK((*piece)->last);
    CHECK(scanner.at_boundary());
    CHECK(scanner.messages() == 1);
}

TEST_CASE("an empty message is one piece that is first and last")
{
    message_scanner scanner{failure_source::upstream};
    const std::string bytes = framed("");
    std::string_view chunk{bytes};
    const auto piece = scanner.next(chunk);
    REQUIRE(piece.has_value());
    REQUIRE(piece->has_value());
    CHECK((*piece)->first);
    CHECK((*piece)->last);
    CHECK((*piece)->bytes.empty());
    CHECK(scanner.at_boundary());
}
