#include <catch2/catch.hpp>
#include <string>

#include "buildkit/wire/control.pb.h"
#include "buildkit/wire/gateway.pb.h"

using namespace buildkit_lb::wire;

TEST_CASE("fields that are not declared survive parsing, merging and serializing")
{
    // A WorkerRecord with a field 6 (CDI devices) and a field 100, neither declared here.
    const std::string record{"\x0a\x01w\x32\x02hi\xa0\x06\x07", 10};
    types::WorkerRecord parsed;
    REQUIRE(parsed.ParseFromString(record));
    CHECK(parsed.id() == "w");
    CHECK(parsed.SerializeAsString() == record);

    control::ListWorkersResponse all;
    *all.add_record() = parsed;
    control::ListWorkersResponse more;
    *more.add_record() = parsed;
    all.MergeFrom(more);
    REQUIRE(all.record_size() == 2);
    CHECK(all.record(1).SerializeAsString() == record);
}

TEST_CASE("texts need not be UTF-8")
{
    control::SolveRequest request;
    const std::string latin1{
        "\x0a\x04"
        "caf\xe9",
        6};
    REQUIRE(request.ParseFromString(latin1));
    CHECK(request.ref() == "caf\xe9");
    CHECK(request.SerializeAsString() == latin1);
}

TEST_CASE("an event of a kind that is not declared keeps its number")
{
    control::BuildHistoryEvent event;
    const std::string bytes{"\x08\x07", 2};
    REQUIRE(event.ParseFromString(bytes));
    CHECK_FALSE(event.has_type());
    CHECK(event.SerializeAsString() == bytes);
}
