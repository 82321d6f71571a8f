#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/failure.hpp"

namespace buildkit_lb::buildkit {

/// What every worker of a mixed pool can do: the PongResponse to answer LLBBridge/Ping with, before a worker is chosen.
///
/// `pongs` are serialized PongResponses, one of each worker, in the pool's order. A capability (of FrontendAPICaps and
/// of LLBCaps, by ID) is in the answer if all have it, and enabled if it is enabled in all: else the entry of one that
/// disabled it, with its reason. Workers and fields unknown here are the first one's. No pongs: errc::no_worker;
/// malformed bytes: errc::protocol with the source upstream. Serialized, not framed. Pure; any thread.
result<std::string> intersect_pongs(const std::vector<std::string_view>& pongs);

/// The first platform of the first worker in a serialized PongResponse, `linux/amd64`; empty when there is none.
std::string native_platform(std::string_view pong);

}  // namespace buildkit_lb::buildkit
