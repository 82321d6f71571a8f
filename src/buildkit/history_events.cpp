#include "buildkit/history_events.hpp"

#include <algorithm>
#include <functional>
#include <iterator>
#include <tuple>
#include <utility>

#include "buildkit/wire/control.pb.h"
#include "buildkit/wire_reader.hpp"

namespace buildkit_lb::buildkit {
namespace {

using request = wire::control::BuildHistoryRequest;
using event = wire::control::BuildHistoryEvent;
using record = wire::control::BuildHistoryRecord;

bool newer(const history_event& a, const history_event& b)
{
    // By Ref at last, so that the order does not depend on who answered first.
    return std::tie(b.created_seconds, b.created_nanos, a.ref) < std::tie(a.created_seconds, a.created_nanos, b.ref);
}

bool read_created(std::string_view timestamp, history_event& out)
{
    wire_reader fields{timestamp};
    while (fields.next()) {
        if (fields.number() == wire::types::Timestamp::kSecondsFieldNumber) {
            out.created_seconds = static_cast<std::int64_t>(fields.varint());
        } else if (fields.number() == wire::types::Timestamp::kNanosFieldNumber) {
            out.created_nanos = static_cast<std::int32_t>(fields.varint());
        }
    }
    return !fields.malformed();
}

bool read_record(std::string_view bytes, history_event& out, std::string& state)
{
    wire_reader fields{bytes};
    while (fields.next()) {
        switch (fields.number()) {
            case record::kRefFieldNumber: out.ref = fields.bytes(); break;
            case record::kCreatedAtFieldNumber:
                if (!read_created(fields.bytes(), out)) {
                    return false;
                }
                break;
            case record::kCompletedAtFieldNumber:
            case record::kLogsFieldNumber:
            case record::kTraceFieldNumber: state.append(fields.bytes()).push_back('\0'); break;
            case record::kGenerationFieldNumber:
            case record::kPinnedFieldNumber:
            case record::kNumCompletedStepsFieldNumber:
                state += std::to_string(fields.number()) + '=' + std::to_string(fields.varint()) + ';';
                break;
            default: break;
        }
    }
    return !fields.malformed();
}

void move_to(std::vector<history_event>& out, std::vector<history_event>& from)
{
    out.insert(out.end(), std::move_iterator{from.begin()}, std::move_iterator{from.end()});
    from.clear();
}

}  // namespace

result<history_request> parse_history_request(std::string_view message)
{
    history_request out;
    wire_reader fields{message};
    while (fields.next()) {
        switch (fields.number()) {
            case request::kActiveOnlyFieldNumber: out.active_only = fields.boolean(); break;
            case request::kRefFieldNumber: out.ref = fields.bytes(); break;
            case request::kEarlyExitFieldNumber: out.early_exit = fields.boolean(); break;
            case request::kLimitFieldNumber: out.limit = static_cast<std::int32_t>(fields.varint()); break;
            default: break;
        }
    }
    if (fields.malformed()) {
        return failure{errc::protocol, failure_source::downstream, false, "a malformed BuildHistoryRequest"};
    }
    return out;
}

std::string history_search(std::string_view ref)
{
    request search;
    search.set_earlyexit(true);
    const bool plain = std::all_of(ref.begin(), ref.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    });
    if (plain && !ref.empty()) {
        search.add_filter("ref==" + std::string{ref});
    }
    return search.SerializeAsString();
}

std::optional<history_event> parse_history_event(std::string bytes)
{
    history_event out;
    std::string state;
    wire_reader fields{bytes};
    while (fields.next()) {
        if (fields.number() == event::kTypeFieldNumber) {
            out.type = static_cast<history_event_type>(std::min<std::uint64_t>(fields.varint(), 255));
        } else if (fields.number() == event::kRecordFieldNumber && !read_record(fields.bytes(), out, state)) {
            return std::nullopt;
        }
    }
    if (fields.malformed()) {
        return std::nullopt;
    }
    state += std::to_string(static_cast<int>(out.type)) + ' ' + out.ref;
    out.identity = std::hash<std::string>{}(state);
    out.bytes = std::move(bytes);
    return out;
}

void history_batch::add(history_event e)
{
    bytes_ += e.bytes.size();
    if (e.type != history_event_type::complete) {
        started_.push_back(std::move(e));
        return;
    }
    complete_.push_back(std::move(e));
    // Not with each one: that the batch is twice too large for a while costs less than sorting it.
    if (limit_ > 0 && complete_.size() >= 2 * static_cast<std::size_t>(limit_) + 16) {
        cut();
    }
}

void history_batch::cut()
{
    std::sort(complete_.begin(), complete_.end(), newer);
    if (limit_ <= 0) {
        return;
    }
    const auto room = static_cast<std::size_t>(limit_) - std::min(taken_, static_cast<std::size_t>(limit_));
    while (complete_.size() > room) {
        bytes_ -= complete_.back().bytes.size();
        complete_.pop_back();
    }
}

std::vector<history_event> history_batch::take()
{
    std::sort(started_.begin(), started_.end(), newer);
    cut();
    taken_ += complete_.size();
    bytes_ = 0;
    std::vector<history_event> all;
    all.reserve(started_.size() + complete_.size());
    move_to(all, started_);
    move_to(all, complete_);
    return all;
}

}  // namespace buildkit_lb::buildkit
