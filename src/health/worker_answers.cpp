#include "health/worker_answers.hpp"

#include <algorithm>
#include <cstdint>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <iterator>

#include "buildkit/platform.hpp"
#include "buildkit/wire/control.pb.h"
#include "buildkit/wire_reader.hpp"
#include "core/platform.hpp"

namespace buildkit_lb::health {

using buildkit::grpc_code;
using wire::types::WorkerRecord;

namespace {

// Of a message of gRPC or of the worker, in a log line.
constexpr std::size_t longest_message = 300;

bool parse(google::protobuf::MessageLite& message, std::string_view bytes)
{
    return message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

/// The same bytes for the same record, however its maps were ordered. (A map in a field that is not declared keeps its
/// order: such a record may look changed when it is not, which costs little.)
std::string canonical(const std::string& record)
{
    WorkerRecord parsed;
    parse(parsed, record);
    std::string out;
    {
        google::protobuf::io::StringOutputStream bytes{&out};
        google::protobuf::io::CodedOutputStream coded{&bytes};
        coded.SetSerializationDeterministic(true);
        parsed.SerializeWithCachedSizes(&coded);
    }
    return out;
}

/// What gRPC says of a connection that failed, in words, and what that is for us. The label, and how short the detail
/// is, are all that depends on it.
struct cause {
    std::string_view said;
    errc code;
    std::string_view told = said;
};
constexpr std::string_view not_http2 = "it does not speak plaintext HTTP/2";
constexpr std::string_view too_slow = "no HTTP/2 connection within health_check.timeout";
constexpr cause causes[] = {
    {"Connection refused", errc::refused},
    {"No route to host", errc::unreachable},
    {"Network is unreachable", errc::unreachable},
    {"No such file or directory", errc::unreachable},
    {"Permission denied", errc::unreachable},
    {"timed out", errc::timed_out, too_slow},
    {"Connection reset by peer", errc::reset},
    {"Broken pipe", errc::reset},
    {"Socket closed", errc::closed},
    {"GOAWAY", errc::closed},
    {"Domain name not found", errc::resolve_failed},
    {"DNS resolution failed", errc::resolve_failed},
    {"http1.x", errc::protocol, not_http2},
    {"HTTP/2", errc::protocol, not_http2},
    {"Too many open files", errc::too_many},
};

std::string one_line(std::string_view message)
{
    std::string line{message.substr(0, longest_message)};
    std::replace_if(line.begin(), line.end(), [](unsigned char c) { return c < ' '; }, ' ');
    return line;
}

}  // namespace

checked<balancer::worker_facts> read_worker_list(std::string_view response)
{
    balancer::worker_facts facts;
    buildkit::wire_reader fields{response};
    while (fields.next()) {
        if (fields.number() == wire::control::ListWorkersResponse::kRecordFieldNumber) {
            facts.records.emplace_back(fields.bytes());
        }
    }
    if (fields.malformed()) {
        return complaint{"an answer that can't be read"};
    }
    if (facts.records.empty()) {
        return complaint{"it has no worker"};
    }
    for (std::size_t i = 0; i < facts.records.size(); ++i) {
        WorkerRecord record;
        if (!parse(record, facts.records[i])) {
            return complaint{"an answer that can't be read"};
        }
        if (record.id().empty()) {
            return complaint{"a worker without an ID"};
        }
        // A daemon uses its first worker only.
        if (i == 0) {
            facts.id = record.id();
            facts.version = record.buildkitversion().version();
            facts.labels.insert(record.labels().begin(), record.labels().end());
            for (const auto& platform : record.platforms()) {
                if (auto p = normal_platform(buildkit::platform_name(platform))) {
                    facts.platforms.push_back(std::move(*p));
                }
            }
        }
    }
    return facts;
}

result<void> read_serving(const endpoint& worker, std::string_view response)
{
    // Field 1 is the status; left out it is the first.
    constexpr std::string_view names[] = {"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"};
    constexpr std::uint64_t serving = 1;
    std::uint64_t status = 0;
    buildkit::wire_reader fields{response};
    while (fields.next()) {
        if (fields.number() == 1) {
            status = fields.varint();
        }
    }
    failure why{errc::protocol, failure_source::upstream, true, worker.to_string() + ": Health/Check: "};
    if (fields.malformed()) {
        why.detail += "an answer that can't be read";
        return why;
    }
    if (status != serving) {
        why.code = errc::unreachable;  // as an UNAVAILABLE would be
        why.detail += status < std::size(names) ? std::string{names[status]} : "status " + std::to_string(status);
        return why;
    }
    return {};
}

bool add_info(balancer::worker_facts& facts, std::string_view response)
{
    wire::control::InfoResponse info;
    if (!parse(info, response)) {
        return false;
    }
    facts.info = response;
    if (!info.buildkitversion().version().empty()) {
        facts.version = info.buildkitversion().version();
    }
    return true;
}

bool is_other_daemon(const balancer::worker_facts& before, const balancer::worker_facts& now)
{
    return before.id != now.id || before.version != now.version || before.platforms != now.platforms;
}

bool say_the_same(const balancer::worker_facts& a, const balancer::worker_facts& b)
{
    return !is_other_daemon(a, b) && a.labels == b.labels && a.info == b.info && a.pong == b.pong &&
           std::equal(a.records.begin(), a.records.end(), b.records.begin(), b.records.end(),
                      [](const auto& x, const auto& y) { return x == y || canonical(x) == canonical(y); });
}

failure call_failure(const endpoint& worker, std::string_view call, grpc_code code, std::string_view message,
                     bool connected)
{
    failure why{errc::protocol, failure_source::upstream, true, worker.to_string() + ": "};
    if (code == grpc_code::deadline_exceeded && !connected) {
        why.code = errc::timed_out;
        why.detail += too_slow;
        return why;
    }
    if (code == grpc_code::unavailable) {
        why.code = errc::unreachable;
        for (const cause& known : causes) {
            if (message.find(known.said) != std::string_view::npos) {
                why.code = known.code;
                if (!connected) {
                    why.detail += known.told;
                    if (known.code == errc::too_many) {
                        why.source = failure_source::internal;
                    }
                    return why;
                }
                break;
            }
        }
    }
    why.detail += std::string{call} + ": " + std::string{buildkit::name(code)};
    if (code == grpc_code::deadline_exceeded) {
        why.code = errc::timed_out;
        why.detail += ": no answer within health_check.timeout";
        return why;
    }
    if (code == grpc_code::resource_exhausted) {
        why.code = errc::too_large;
    }
    if (!message.empty()) {
        why.detail += ": " + one_line(message);
    }
    return why;
}

}  // namespace buildkit_lb::health
