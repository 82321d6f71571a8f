#include "buildkit/ref_map.hpp"

#include <catch2/catch.hpp>
#include <string>

#include "buildkit/wire/gateway.pb.h"

using namespace buildkit_lb;
using namespace buildkit_lb::buildkit;
using placed = std::vector<placed_ref>;
using wire::gateway::Result;
using wire::gateway::ReturnRequest;
using wire::gateway::SolveResponse;

namespace {

std::string answer_with(const Result& what)
{
    SolveResponse response;
    *response.mutable_result() = what;
    return response.SerializeAsString();
}

Result of_one(const std::string& id)
{
    Result r;
    r.mutable_ref()->set_id(id);
    return r;
}

Result of_platforms(const std::string& prefix)
{
    Result r;
    auto& refs = *r.mutable_refs()->mutable_refs();
    for (const std::string platform : {"linux/amd64", "linux/arm64"}) {
        refs[platform].set_id(prefix + platform);
        auto& all = (*r.mutable_attestations())[platform];
        all.add_attestation()->mutable_ref()->set_id(prefix + platform + "-sbom");
        all.add_attestation();  // one that is inline
        all.add_attestation()->mutable_ref()->set_id(prefix + platform + "-other");
    }
    return r;
}

placed refs_of(const Result& what)
{
    auto found = refs_of_answer(answer_with(what));
    REQUIRE(found.has_value());
    return std::move(*found);
}

std::string return_of(const Result& what)
{
    ReturnRequest request;
    *request.mutable_result() = what;
    return request.SerializeAsString();
}

/// A field that no version knows: number 99, length-delimited.
const std::string unknown_field{"\x9a\x06\x03new", 6};

}  // namespace

TEST_CASE("the refs of an answer are found in every place, in the forms of today and of old clients")
{
    CHECK(refs_of(of_one("r1")) == placed{{"ref", "r1"}});
    CHECK(refs_of(Result{}).empty());
    CHECK(refs_of(of_one("")).empty());

    Result old_one;
    old_one.set_refdeprecated("r1");
    CHECK(refs_of(old_one) == placed{{"ref", "r1"}});
    Result old_map;
    (*old_map.mutable_refsdeprecated()->mutable_refs())["linux/amd64"] = "r2";
    CHECK(refs_of(old_map) == placed{{"refs/linux/amd64", "r2"}});

    const auto all = refs_of(of_platforms("a:"));
    CHECK(all.size() == 6);
    CHECK(std::count(all.begin(), all.end(), placed_ref{"refs/linux/arm64", "a:linux/arm64"}) == 1);
    CHECK(std::count(all.begin(), all.end(), placed_ref{"attestations/linux/amd64/0", "a:linux/amd64-sbom"}) == 1);
    CHECK(std::count(all.begin(), all.end(), placed_ref{"attestations/linux/amd64/2", "a:linux/amd64-other"}) == 1);

    SolveResponse oldest;
    oldest.set_ref("r3");
    CHECK(refs_of_answer(oldest.SerializeAsString()).value() == placed{{"answer", "r3"}});
    CHECK_FALSE(refs_of_answer("\xff\xff").has_value());
    CHECK_FALSE(refs_of_answer(std::string_view{"\x1a\x02\x1a\x7f", 4}).has_value());  // a ref longer than its result
}

TEST_CASE("results are paired by their place, whatever the order and the form")
{
    ref_map map;
    CHECK(map.empty());
    REQUIRE(map.pair(refs_of(of_platforms("old:")), refs_of(of_platforms("new:"))));
    CHECK(map.present("old:linux/amd64") == "new:linux/amd64");
    CHECK(map.present("old:linux/arm64-sbom") == "new:linux/arm64-sbom");
    CHECK(map.present("never heard of") == "never heard of");

    Result old_form;
    old_form.set_refdeprecated("old");
    REQUIRE(map.pair(refs_of(old_form), refs_of(of_one("new"))));
    CHECK(map.present("old") == "new");
    // What the new worker has more of is nobody's.
    CHECK(map.pair({}, refs_of(of_one("more"))));
}

TEST_CASE("an answer that lacks a ref of the other one is no substitute")
{
    ref_map map;
    CHECK_FALSE(map.pair(refs_of(of_platforms("old:")), refs_of(of_one("new"))));
    CHECK_FALSE(map.pair(refs_of(of_one("old")), refs_of(of_one(""))));
}

TEST_CASE("Return is rewritten with the refs of the present worker")
{
    ref_map map;
    REQUIRE(map.pair(refs_of(of_platforms("old:")), refs_of(of_platforms("new:"))));

    Result before = of_platforms("old:");
    (*before.mutable_metadata())["containerimage.config"] = "{}";
    before.mutable_refs()->mutable_refs()->at("linux/amd64").mutable_def()->add_def("an op");
    ReturnRequest request;
    *request.mutable_result() = before;
    request.mutable_result()->mutable_unknown_fields()->append(unknown_field);
    request.mutable_unknown_fields()->append(unknown_field);
    request.mutable_result()
        ->mutable_refs()
        ->mutable_refs()
        ->at("linux/arm64")
        .mutable_unknown_fields()
        ->append(unknown_field);

    ReturnRequest rewritten;
    REQUIRE(rewritten.ParseFromString(map.rewritten(method::llb_return, request.SerializeAsString()).value()));

    const auto& after = rewritten.result();
    CHECK(after.refs().refs().at("linux/amd64").id() == "new:linux/amd64");
    CHECK(after.refs().refs().at("linux/amd64").def().def(0) == "an op");
    CHECK(after.refs().refs().at("linux/arm64").id() == "new:linux/arm64");
    CHECK(after.attestations().at("linux/amd64").attestation(0).ref().id() == "new:linux/amd64-sbom");
    CHECK_FALSE(after.attestations().at("linux/amd64").attestation(1).has_ref());
    CHECK(after.metadata().at("containerimage.config") == "{}");
    CHECK(after.unknown_fields() == unknown_field);
    CHECK(rewritten.unknown_fields() == unknown_field);
    CHECK(after.refs().refs().at("linux/arm64").unknown_fields() == unknown_field);
}

TEST_CASE("a Return tells whether the build has failed in the client")
{
    ReturnRequest request;
    CHECK_FALSE(returns_error(request.SerializeAsString()));
    *request.mutable_result() = of_one("r");
    CHECK_FALSE(returns_error(request.SerializeAsString()));
    request.set_error("a status");
    CHECK(returns_error(request.SerializeAsString()));
    CHECK_FALSE(returns_error("\xff\xff"));
}

TEST_CASE("what has no refs is rewritten to the same bytes")
{
    ref_map map;
    REQUIRE(map.pair({{"ref", "old"}}, {{"ref", "newer and longer"}}));
    ReturnRequest failed;  // a build that ends with an error
    failed.mutable_unknown_fields()->append(unknown_field);
    CHECK(map.rewritten(method::llb_return, failed.SerializeAsString()) == failed.SerializeAsString());
    CHECK(map.rewritten(method::llb_return, return_of(of_one("other"))) == return_of(of_one("other")));
    CHECK(map.rewritten(method::llb_return, return_of(of_one(""))) == return_of(of_one("")));
    CHECK(map.rewritten(method::llb_return, "") == "");
}

TEST_CASE("requests that name one ref are rewritten, others are left alone")
{
    ref_map map;
    REQUIRE(map.pair({{"ref", "old"}}, {{"ref", "newer and longer"}}));
    wire::gateway::RefRequest read;
    read.set_ref("old");
    read.mutable_unknown_fields()->append("\x12\x01/");  // FilePath
    wire::gateway::RefRequest rewritten;
    REQUIRE(rewritten.ParseFromString(map.rewritten(method::llb_ref, read.SerializeAsString()).value()));
    CHECK(rewritten.ref() == "newer and longer");
    CHECK(rewritten.unknown_fields() == "\x12\x01/");

    // ResolveImageConfig has another kind of ref in the same place, and a Solve none at all.
    CHECK(map.rewritten(method::llb_question, read.SerializeAsString()) == read.SerializeAsString());
    CHECK(map.rewritten(method::llb_solve, read.SerializeAsString()) == read.SerializeAsString());
}

TEST_CASE("a request that is no protobuf is not rewritten")
{
    ref_map map;
    const std::string odd = "\xff\xff";
    CHECK(map.rewritten(method::llb_return, odd) == odd);  // nothing to put in: the worker's to refuse
    REQUIRE(map.pair({{"ref", "old"}}, {{"ref", "new"}}));
    CHECK_FALSE(map.rewritten(method::llb_return, odd).has_value());
    CHECK_FALSE(map.rewritten(method::llb_ref, odd).has_value());
    std::string cut = return_of(of_platforms("old:"));
    cut.pop_back();
    CHECK_FALSE(map.rewritten(method::llb_return, cut).has_value());
}
