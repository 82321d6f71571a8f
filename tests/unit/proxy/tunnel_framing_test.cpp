#include "proxy/buildkit/tunnel_framing.hpp"

#include <catch2/catch.hpp>
#include <string>

#include "buildkit/grpc_framing.hpp"
#include "buildkit/wire/control.pb.h"

using namespace buildkit_lb;
using namespace buildkit_lb::proxy;

namespace {

std::string message_of(std::string_view data)
{
    wire::control::BytesMessage message;
    message.set_data(std::string{data});
    return buildkit::framed(message.SerializeAsString());
}

/// What a reader makes of `input`, given to it in pieces of `piece` bytes; nullopt where it refuses.
std::optional<std::string> read(std::string_view input, std::size_t piece)
{
    tunnel_reader reader;
    std::string all;
    for (std::size_t at = 0; at < input.size(); at += piece) {
        std::vector<buffer_slice> out;
        if (!reader.read(buffer_slice::copy_of(input.substr(at, piece)), out)) {
            return std::nullopt;
        }
        for (const auto& part : out) {
            all += part.view();
        }
    }
    return all;
}

}  // namespace

TEST_CASE("tunnel bytes come out of their messages however these are cut")
{
    const std::string large(70'000, 'L');
    const std::string input = message_of("one") + message_of("") + message_of(large) + message_of("two");

    for (const std::size_t piece : {1U, 2U, 3U, 5U, 7U, 4096U, 1'000'000U}) {
        CAPTURE(piece);
        const auto all = read(input, piece);
        REQUIRE(all.has_value());
        CHECK(*all == "one" + large + "two");
    }
}

TEST_CASE("an empty message and other fields are skipped")
{
    const std::string varint = "\x10\x96\x01";                     // field 2
    const std::string fixed64 = std::string{"\x19"} + "12345678";  // field 3
    const std::string text = std::string{"\x22\x03"} + "abc";      // field 4
    const std::string fixed32 = std::string{"\x2d"} + "1234";      // field 5
    const std::string data = std::string{"\x0a\x02"} + "hi";
    const std::string input = buildkit::framed("") + buildkit::framed(varint + fixed64 + data + text + fixed32 + data);

    for (const std::size_t piece : {1U, 3U, 1000U}) {
        CHECK(read(input, piece) == "hihi");
    }
}

TEST_CASE("what is no BytesMessage is refused")
{
    const auto refused = [](const std::string& input) { return !read(input, 1) && !read(input, 1000); };
    CHECK(refused(buildkit::framed("\x0a\x02hi", true)));  // compressed
    CHECK(refused(buildkit::framed("\x0a\x05hi")));        // the field is longer than its message
    CHECK(refused(buildkit::framed("\x0b")));              // a group
    CHECK(refused(buildkit::framed("\x0a")));              // no room for the length
    CHECK(
        refused(buildkit::framed("\x2d"
                                 "123")));                      // no room for the value
    CHECK(refused(buildkit::framed(std::string(12, '\xff'))));  // a number without an end
    CHECK(refused(buildkit::framed("\x0a\x80")));               // a length that ends with its message
    CHECK_FALSE(read(buildkit::framed("\x0a\x02hi"), 1) == std::nullopt);
}

TEST_CASE("the head makes tunnel bytes a message that BuildKit reads")
{
    for (const std::size_t size : {1U, 127U, 128U, 16'383U, 16'384U, 32'768U}) {
        CAPTURE(size);
        const std::string bytes(size, 'b');
        const std::string whole = std::string{tunnel_message_head(size).view()} + bytes;
        buildkit::message_reader reader{failure_source::downstream};
        std::string_view chunk = whole;
        const auto message = reader.next(chunk);
        REQUIRE(message.has_value());
        REQUIRE(message->has_value());
        CHECK(chunk.empty());
        wire::control::BytesMessage parsed;
        REQUIRE(parsed.ParseFromString((*message)->payload));
        CHECK(parsed.data() == bytes);
        CHECK(read(whole, 11) == bytes);
    }
}
