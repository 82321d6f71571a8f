#include "buildkit/pool_answers.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <limits>
#include <map>
#include <unordered_set>

#include "buildkit/platform.hpp"
#include "buildkit/version_order.hpp"
#include "buildkit/wire/control.pb.h"
#include "buildkit/wire_reader.hpp"

namespace buildkit_lb::buildkit {
namespace {

using list_response = wire::control::ListWorkersResponse;
using record = wire::types::WorkerRecord;

void append_field(std::string& out, int number, std::string_view bytes)
{
    const auto put_varint = [&out](std::uint64_t value) {
        for (; value >= 0x80; value >>= 7) {
            out.push_back(static_cast<char>(static_cast<unsigned char>(value | 0x80)));
        }
        out.push_back(static_cast<char>(value));
    };
    put_varint(static_cast<std::uint64_t>(number) << 3 | 2);
    put_varint(bytes.size());
    out += bytes;
}

/// The bytes of the first field `number` of a message; empty where it has none.
std::string_view first_bytes(std::string_view message, int number)
{
    wire_reader fields{message};
    while (fields.next()) {
        if (fields.number() == static_cast<std::uint32_t>(number)) {
            return fields.bytes();
        }
    }
    return {};
}

std::string native_platform(std::string_view worker_record)
{
    wire::ops::Platform platform;
    const auto bytes = first_bytes(worker_record, record::kPlatformsFieldNumber);
    if (bytes.empty() || !platform.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
        return {};
    }
    return platform_name(platform);
}

int weight(grpc_code code)
{
    switch (code) {
        case grpc_code::ok: return -1;
        case grpc_code::unavailable:
        case grpc_code::cancelled:
        case grpc_code::deadline_exceeded: return 0;
        case grpc_code::unimplemented: return 1;
        case grpc_code::not_found: return 2;
        case grpc_code::unknown: return 3;
        default: return 4;
    }
}

}  // namespace

bool is_cancelled(const grpc_ending& how)
{
    return how.code == grpc_code::cancelled ||
           (how.code != grpc_code::ok && how.message.ends_with(", forcing shutdown") &&
            how.message.find("SIGTERM/SIGINT") != std::string::npos);
}

bool is_unknown_build(const grpc_ending& how, std::string_view ref)
{
    return how.code != grpc_code::ok && how.message.ends_with(fmt::format("no such job {}", ref));
}

std::optional<std::vector<std::string>> worker_records(std::string_view response)
{
    std::vector<std::string> records;
    wire_reader fields{response};
    while (fields.next()) {
        if (fields.number() == list_response::kRecordFieldNumber) {
            records.emplace_back(fields.bytes());
        }
    }
    return fields.malformed() ? std::nullopt : std::optional{std::move(records)};
}

std::string merge_worker_records(const std::vector<std::string>& records, std::string_view preferred)
{
    std::vector<std::string> platforms;
    std::map<std::string, int> count;
    std::unordered_set<std::string_view> seen;
    std::vector<const std::string*> once;
    for (const auto& r : records) {
        const auto id = first_bytes(r, record::kIDFieldNumber);
        if (id.empty() || seen.insert(id).second) {
            once.push_back(&r);
            platforms.push_back(native_platform(r));
            ++count[platforms.back()];
        }
    }
    // The first of equals in the order of the workers, so that it does not change from call to call.
    std::string_view commonest = preferred;
    int most = count[std::string{preferred}] != 0 ? std::numeric_limits<int>::max() : 0;
    for (const auto& p : platforms) {
        if (count[p] > most) {
            most = count[p];
            commonest = p;
        }
    }
    std::string out;
    for (const bool native : {true, false}) {
        for (std::size_t i = 0; i < once.size(); ++i) {
            if ((platforms[i] == commonest) == native) {
                append_field(out, list_response::kRecordFieldNumber, *once[i]);
            }
        }
    }
    return out;
}

std::size_t oldest_info(const std::vector<std::string_view>& infos)
{
    const auto version_of = [](std::string_view info) {
        return first_bytes(first_bytes(info, wire::control::InfoResponse::kBuildkitVersionFieldNumber),
                           wire::types::BuildkitVersion::kVersionFieldNumber);
    };
    const auto oldest = std::min_element(infos.begin(), infos.end(), [&](std::string_view a, std::string_view b) {
        return compare_versions(version_of(a), version_of(b)) < 0;
    });
    return static_cast<std::size_t>(oldest - infos.begin());
}

disk_usage_totals total_of(std::string_view disk_usage)
{
    disk_usage_totals totals;
    wire_reader fields{disk_usage};
    while (fields.next()) {
        if (fields.number() != wire::control::DiskUsageResponse::kRecordFieldNumber) {
            continue;
        }
        ++totals.records;
        wire_reader usage{fields.bytes()};
        while (usage.next()) {
            if (usage.number() == wire::control::UsageRecord::kSizeFieldNumber) {
                totals.bytes += usage.varint();
            }
        }
    }
    return totals;
}

const grpc_ending& most_telling(const std::vector<grpc_ending>& endings)
{
    return *std::max_element(endings.begin(), endings.end(), [](const grpc_ending& a, const grpc_ending& b) {
        return weight(a.code) < weight(b.code);
    });
}

}  // namespace buildkit_lb::buildkit
