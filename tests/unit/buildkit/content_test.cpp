#include "buildkit/content.hpp"

#include <catch2/catch.hpp>

#include "buildkit/solve_info.hpp"
#include "buildkit/wire/content.pb.h"
#include "buildkit/wire/control.pb.h"

using namespace buildkit_lb;
using namespace buildkit_lb::buildkit;

namespace {

void attest(wire::control::BuildResultInfo& of, const std::string& digest, std::int64_t size,
            const std::string& type = "application/vnd.in-toto+json")
{
    auto& made = *of.add_attestations();
    made.set_media_type(type);
    made.set_digest(digest);
    made.set_size(size);
}

std::vector<std::string> digests(const std::vector<content_descriptor>& all)
{
    std::vector<std::string> out;
    for (const auto& one : all) {
        out.push_back(one.digest);
    }
    return out;
}

}  // namespace

TEST_CASE("requests for content are read, and made")
{
    wire::content::ReadContentRequest read;
    read.set_digest("sha256:aa");
    read.set_offset(7);
    read.set_size(9);
    const auto asked = parse_content_request(read.SerializeAsString());
    REQUIRE(asked.has_value());
    CHECK(asked->digest == "sha256:aa");
    CHECK(asked->offset == 7);
    CHECK(asked->size == 9);
    CHECK(parse_content_request(content_read_request("sha256:bb"))->digest == "sha256:bb");
    CHECK_FALSE(parse_content_request("\x0a\x05x").has_value());
    CHECK(parse_content_request(content_read_request(std::string(max_ref_length + 1, 'd'))).error().code ==
          errc::too_large);
}

TEST_CASE("answers about content say what a worker would")
{
    wire::content::InfoResponse info;
    REQUIRE(info.ParseFromString(content_info_answer("sha256:aa", 12)));
    CHECK(info.info().digest() == "sha256:aa");
    CHECK(info.info().size() == 12);
    wire::content::ReadContentResponse read;
    REQUIRE(read.ParseFromString(content_read_answer(3, "text")));
    CHECK(read.offset() == 3);
    CHECK(content_of_read(content_read_answer(3, "text")) == "text");
    CHECK(content_of_read("\x12\x05x").empty());
}

TEST_CASE("the attestations of all results of a build are found, each once")
{
    wire::control::BuildHistoryEvent e;
    auto& record = *e.mutable_record();
    attest(*record.mutable_result(), "sha256:a", 1);
    attest(*record.mutable_result(), "sha256:layer", 2, "application/vnd.oci.image.layer.v1.tar");
    attest((*record.mutable_results())["linux/amd64"], "sha256:a", 1);
    attest((*record.mutable_results())["linux/amd64"], "sha256:b", 3);
    const auto found = attestations_of(e.SerializeAsString());
    CHECK(digests(found) == std::vector<std::string>{"sha256:a", "sha256:b"});
    CHECK(found[1].size == 3);

    for (int i = 0; i < 200; ++i) {
        attest(*record.mutable_result(), "sha256:" + std::to_string(i), 1);
    }
    CHECK(attestations_of(e.SerializeAsString()).size() == max_attestations);
    CHECK(attestations_of("\x12\x05x").empty());
}
