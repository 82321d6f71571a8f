#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "buildkit/grpc_status.hpp"

/// Answers of several workers made into one. Pure functions over serialized messages: repeated fields are merged by
/// putting messages one after the other, so fields that this program does not know stay. Any thread.
namespace buildkit_lb::buildkit {

/// How a call ended, as its trailers tell.
struct grpc_ending {
    grpc_code code = grpc_code::unknown;
    std::string message;
    std::string details;  ///< `grpc-status-details-bin` as it came
};

/// A build or a call of it ended because somebody cancelled it: by its code, or by the cause that a buildkitd gives
/// (its util/appcontext) when it was told to stop by a signal. That may come with any code, behind other words.
bool is_cancelled(const grpc_ending& how);

/// A call of the build `ref` ended because the worker does not know that build. It waits for the build's Solve before
/// it says so: 3 s with calls of LLBBridge, 6 s with Status.
bool is_unknown_build(const grpc_ending& how, std::string_view ref);

/// The serialized WorkerRecords of a serialized ListWorkersResponse, in their order. nullopt: malformed.
std::optional<std::vector<std::string>> worker_records(std::string_view response);

/// A ListWorkersResponse of `records`. Clients take platforms and labels from the first one, so those come first whose
/// native (first) platform is `preferred`, or the commonest native one if that is empty or nobody's; otherwise the
/// order stays. Each worker ID once.
std::string merge_worker_records(const std::vector<std::string>& records, std::string_view preferred = {});

/// Which of these serialized InfoResponses tells the oldest version; the first of equals. No version is the oldest.
std::size_t oldest_info(const std::vector<std::string_view>& infos);

/// What a serialized DiskUsageResponse adds up to.
struct disk_usage_totals {
    std::uint64_t records = 0;
    std::uint64_t bytes = 0;  ///< on the worker's disk
};
disk_usage_totals total_of(std::string_view disk_usage);

/// The reverse of what usually explains least: of errors that several workers gave to one question, the one that tells
/// most of why. `NOT_FOUND` of those that never knew a thing says less than the trouble of the one that has it. The
/// first of equals. `endings` is not empty.
const grpc_ending& most_telling(const std::vector<grpc_ending>& endings);

}  // namespace buildkit_lb::buildkit
