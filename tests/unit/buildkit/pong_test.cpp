#include "buildkit/pong.hpp"

#include <catch2/catch.hpp>
#include <string>

#include "buildkit/oldest_worker.hpp"
#include "buildkit/wire/gateway.pb.h"

using namespace buildkit_lb;
using namespace buildkit_lb::buildkit;
using wire::gateway::PongResponse;

namespace {

void add(google::protobuf::RepeatedPtrField<wire::types::APICap>& caps, const std::string& id, bool enabled = true,
         const std::string& reason = {})
{
    auto& cap = *caps.Add();
    cap.set_id(id);
    cap.set_enabled(enabled);
    if (!reason.empty()) {
        cap.set_disabledreasonmsg(reason);
    }
}

PongResponse intersection(const std::vector<PongResponse>& pongs)
{
    std::vector<std::string> texts;
    for (const auto& pong : pongs) {
        texts.push_back(pong.SerializeAsString());
    }
    const auto out = intersect_pongs({texts.begin(), texts.end()});
    REQUIRE(out.has_value());
    PongResponse answer;
    REQUIRE(answer.ParseFromString(*out));
    return answer;
}

}  // namespace

TEST_CASE("only capabilities that every worker has are left, in the first one's order")
{
    PongResponse newer;
    add(*newer.mutable_frontendapicaps(), "solve.base");
    add(*newer.mutable_frontendapicaps(), "new.thing");
    add(*newer.mutable_llbcaps(), "exec.mount");
    add(*newer.mutable_llbcaps(), "solve.base");  // of the other list: no mixing
    PongResponse older;
    add(*older.mutable_frontendapicaps(), "old.thing");
    add(*older.mutable_frontendapicaps(), "solve.base");
    add(*older.mutable_llbcaps(), "exec.mount");

    for (const auto& pongs : {std::vector{newer, older}, std::vector{older, newer}, std::vector{newer, older, newer}}) {
        const PongResponse both = intersection(pongs);
        REQUIRE(both.frontendapicaps_size() == 1);
        CHECK(both.frontendapicaps(0).id() == "solve.base");
        CHECK(both.frontendapicaps(0).enabled());
        REQUIRE(both.llbcaps_size() == 1);
        CHECK(both.llbcaps(0).id() == "exec.mount");
    }
}

TEST_CASE("a capability that one worker disabled is disabled, with its reason")
{
    PongResponse on;
    add(*on.mutable_llbcaps(), "exec.gpu");
    PongResponse off;
    add(*off.mutable_llbcaps(), "exec.gpu", false, "no device");
    for (const auto& pongs : {std::vector{on, off, on}, std::vector{off, on, on}, std::vector{on, on, off}}) {
        const PongResponse all = intersection(pongs);
        REQUIRE(all.llbcaps_size() == 1);
        CHECK_FALSE(all.llbcaps(0).enabled());
        CHECK(all.llbcaps(0).disabledreasonmsg() == "no device");
    }
}

TEST_CASE("one worker's answer stays as it is, with fields that are not declared here")
{
    PongResponse pong;
    add(*pong.mutable_llbcaps(), "exec.mount");
    pong.add_workers()->set_id("w");
    const std::string bytes = pong.SerializeAsString() + "\xfa\x01\x03new";  // field 31
    CHECK(*intersect_pongs({bytes}) == bytes);
}

TEST_CASE("no answer and a malformed answer are errors")
{
    const auto none = intersect_pongs({});
    REQUIRE_FALSE(none.has_value());
    CHECK(none.error().code == errc::no_worker);
    const auto broken = intersect_pongs({"", "\x0a\x05x"});
    REQUIRE_FALSE(broken.has_value());
    CHECK(broken.error().code == errc::protocol);
    CHECK(broken.error().source == failure_source::upstream);
}

TEST_CASE("the native platform is the first one of the first worker")
{
    PongResponse pong;
    CHECK(native_platform(pong.SerializeAsString()).empty());
    auto& worker = *pong.add_workers();
    CHECK(native_platform(pong.SerializeAsString()).empty());
    for (const auto* variant : {"v7", ""}) {
        auto& platform = *worker.add_platforms();
        platform.set_os("linux");
        platform.set_architecture("arm");
        platform.set_variant(variant);
    }
    CHECK(native_platform(pong.SerializeAsString()) == "linux/arm/v7");
    worker.mutable_platforms()->DeleteSubrange(0, 1);
    CHECK(native_platform(pong.SerializeAsString()) == "linux/arm");
    CHECK(native_platform("\xff\xff").empty());
}

TEST_CASE("the pong of an unseen worker is what any worker can do")
{
    wire::gateway::PongResponse newer;
    REQUIRE(newer.ParseFromString(oldest_pong()));
    const int known = newer.llbcaps_size();
    CHECK(known > 50);
    CHECK(newer.workers(0).platforms_size() == 1);
    newer.add_llbcaps()->set_id("source.invented");
    const auto common = intersect_pongs({newer.SerializeAsString(), oldest_pong()});
    REQUIRE(common.has_value());
    wire::gateway::PongResponse both;
    REQUIRE(both.ParseFromString(*common));
    CHECK(both.llbcaps_size() == known);
}
