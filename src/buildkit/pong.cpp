#include "buildkit/pong.hpp"

#include <map>

#include "buildkit/platform.hpp"
#include "buildkit/wire/gateway.pb.h"

namespace buildkit_lb::buildkit {
namespace {

using wire::types::APICap;
using cap_list = google::protobuf::RepeatedPtrField<APICap>;

/// Takes out of `common` what `other` does not have, and disables what `other` has disabled.
void intersect(cap_list& common, const cap_list& other)
{
    std::map<std::string, const APICap*> offered;
    for (const APICap& cap : other) {
        offered[cap.id()] = &cap;
    }
    cap_list kept;
    for (APICap& cap : common) {
        const auto at = offered.find(cap.id());
        if (at == offered.end()) {
            continue;
        }
        *kept.Add() = cap.enabled() ? *at->second : cap;
    }
    common.Swap(&kept);
}

}  // namespace

result<std::string> intersect_pongs(const std::vector<std::string_view>& pongs)
{
    if (pongs.empty()) {
        return failure{errc::no_worker, failure_source::internal, true, "no worker has told its capabilities yet"};
    }
    wire::gateway::PongResponse common;
    for (std::size_t i = 0; i < pongs.size(); ++i) {
        wire::gateway::PongResponse pong;
        if (!pong.ParseFromArray(pongs[i].data(), static_cast<int>(pongs[i].size()))) {
            return failure{errc::protocol, failure_source::upstream, true, "a malformed PongResponse"};
        }
        if (i == 0) {
            common.Swap(&pong);
            continue;
        }
        intersect(*common.mutable_frontendapicaps(), pong.frontendapicaps());
        intersect(*common.mutable_llbcaps(), pong.llbcaps());
    }
    return common.SerializeAsString();
}

std::string native_platform(std::string_view pong)
{
    wire::gateway::PongResponse response;
    if (!response.ParseFromArray(pong.data(), static_cast<int>(pong.size())) || response.workers_size() == 0 ||
        response.workers(0).platforms_size() == 0) {
        return {};
    }
    return platform_name(response.workers(0).platforms(0));
}

}  // namespace buildkit_lb::buildkit
