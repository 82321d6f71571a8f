#include "buildkit/trace_ids.hpp"

#include <catch2/catch.hpp>

#include "buildkit/methods.hpp"

using namespace buildkit_lb::buildkit;

namespace {

std::string field(char number, const std::string& bytes)
{
    return std::string{static_cast<char>(number << 3 | 2)} + static_cast<char>(bytes.size()) + bytes;
}

std::string span(char fill)
{
    return field(1, std::string(16, fill)) + field(5, "name");
}

}  // namespace

TEST_CASE("the traces of an export are found wherever their spans are, each once")
{
    const std::string scope = field(1, "scope") + field(2, span('\x01')) + field(2, span('\x01'));
    const std::string other = field(2, span('\xab'));
    const std::string message = field(1, field(2, scope) + field(2, other)) + field(1, field(2, scope));
    const auto traces = exported_traces(message);
    REQUIRE(traces.has_value());
    CHECK(*traces == std::vector<std::string>{"01010101010101010101010101010101", "abababababababababababababababab"});
}

TEST_CASE("an export without spans has no trace, and garbage is an error")
{
    CHECK(exported_traces("")->empty());
    CHECK(exported_traces(field(1, field(2, field(2, field(1, "short")))))->empty());
    CHECK_FALSE(exported_traces("\x0a\x7f").has_value());
    CHECK_FALSE(exported_traces(field(1, field(2, "\x12\x7f"))).has_value());
}

TEST_CASE("no more traces are looked for than a client can mean")
{
    std::string message;
    for (int i = 1; i <= 100; ++i) {
        message += field(1, field(2, field(2, span(static_cast<char>(i)))));
    }
    CHECK(exported_traces(message)->size() == max_traces);
}

TEST_CASE("traceparent names a trace, or is left alone")
{
    const std::string id = "0af7651916cd43dd8448eb211c80319c";
    CHECK(trace_id_of("00-" + id + "-b7ad6b7169203331-01") == id);
    CHECK(trace_id_of("").empty());
    CHECK(trace_id_of("00-" + id.substr(1)).empty());
    CHECK(trace_id_of("00-" + std::string(32, '0') + "-b7ad6b7169203331-01").empty());
    CHECK(trace_id_of("00-" + std::string(32, 'G') + "-b7ad6b7169203331-01").empty());
}
