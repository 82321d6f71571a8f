#include "buildkit/grpc_status.hpp"

#include <catch2/catch.hpp>
#include <string>

using namespace buildkit_lb::buildkit;

TEST_CASE("status codes have gRPC's numbers and names")
{
    for (int i = 0; i <= 16; ++i) {
        const auto code = static_cast<grpc_code>(i);
        CHECK(grpc_status_value(code) == std::to_string(i));
        CHECK(parse_grpc_status(std::to_string(i)) == code);
    }
    CHECK(name(grpc_code::ok) == "OK");
    CHECK(name(grpc_code::cancelled) == "CANCELLED");
    CHECK(name(grpc_code::not_found) == "NOT_FOUND");
    CHECK(name(grpc_code::resource_exhausted) == "RESOURCE_EXHAUSTED");
    CHECK(name(grpc_code::unavailable) == "UNAVAILABLE");
    CHECK(name(grpc_code::unauthenticated) == "UNAUTHENTICATED");
}

TEST_CASE("a grpc-status that is none of the codes is UNKNOWN")
{
    for (const char* value : {"", "17", "-1", "x", "00", " 0", "0 ", "14.0", "99999999999999999999"}) {
        CAPTURE(value);
        CHECK(parse_grpc_status(value) == grpc_code::unknown);
    }
    CHECK(name(static_cast<grpc_code>(200)) == "UNKNOWN");
}

TEST_CASE("a status message is written in printable ASCII and read back")
{
    CHECK(percent_encode("no such job abc") == "no such job abc");
    CHECK(percent_encode("100% \n\xc3\xa9\x7f") == "100%25 %0A%C3%A9%7F");
    std::string all;
    for (int i = 0; i < 256; ++i) {
        all += static_cast<char>(i);
    }
    const std::string encoded = percent_encode(all);
    for (const char c : encoded) {
        CHECK((c >= 0x20 && c <= 0x7e));
    }
    CHECK(percent_decode(encoded) == all);
}

TEST_CASE("what is not an escape stays when a status message is read")
{
    CHECK(percent_decode("%c3%A9") == "\xc3\xa9");
    CHECK(percent_decode("50% of") == "50% of");
    CHECK(percent_decode("%") == "%");
    CHECK(percent_decode("%4") == "%4");
    CHECK(percent_decode("%41%") == "A%");
    CHECK(percent_decode("%zz%41") == "%zzA");
}
