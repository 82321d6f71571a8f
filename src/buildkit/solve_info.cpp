#include "buildkit/solve_info.hpp"

#include <algorithm>
#include <utility>

#include "buildkit/definition_scan.hpp"
#include "buildkit/wire/control.pb.h"
#include "buildkit/wire/gateway.pb.h"
#include "buildkit/wire_reader.hpp"

namespace buildkit_lb::buildkit {
namespace {

constexpr std::string_view local_session_prefix = "local-sessionid:";
constexpr std::string_view input_prefix = "input:";

failure malformed(const char* what)
{
    return failure{errc::protocol, failure_source::downstream, false, std::string{"a malformed "} + what};
}

/// Reads one frontend attribute of either Solve for what it says of sessions and of other builds.
bool read_attr(std::string_view entry, std::string_view& key, std::string_view& value, session_collector& sessions,
               bool& linked)
{
    if (!read_map_entry(entry, key, value)) {
        return false;
    }
    if (key.starts_with(local_session_prefix)) {
        sessions.add(value);
    }
    linked = linked || value.starts_with(input_prefix);
    return true;
}

/// Reads one entry of FrontendInputs.
bool read_input(std::string_view entry, session_collector& sessions)
{
    std::string_view name;
    std::string_view definition;
    if (!read_map_entry(entry, name, definition)) {
        return false;
    }
    sessions.add_input(definition);
    return true;
}

/// Keeps attributes within their bounds.
class attr_keeper {
public:
    explicit attr_keeper(solve_info& info) : info_{info} {}

    void keep(std::string_view key, std::string_view value)
    {
        const auto old = info_.attrs.find(key);
        const std::size_t freed = old == info_.attrs.end() ? 0 : old->first.size() + old->second.size();
        const std::size_t size = key.size() + value.size();
        if (size > max_attr_size || size_ - freed + size > max_attrs_size ||
            (freed == 0 && info_.attrs.size() >= max_attrs)) {
            info_.attrs_left_out = true;
            return;
        }
        size_ += size - freed;
        if (old != info_.attrs.end()) {
            old->second = value;
        } else {
            info_.attrs.emplace(key, value);
        }
    }

private:
    solve_info& info_;
    std::size_t size_ = 0;
};

/// The exporter type in a serialized Exporter. False when malformed.
bool read_exporter(std::string_view exporter, std::string& type)
{
    wire_reader fields{exporter};
    while (fields.next()) {
        if (fields.number() == wire::control::Exporter::kTypeFieldNumber) {
            type = fields.bytes().substr(0, max_ref_length);
        }
    }
    return !fields.malformed();
}

/// One text field of a message that is read for nothing else.
result<std::string> parse_text(std::string_view message, int number, const char* what)
{
    std::string_view text;
    wire_reader fields{message};
    while (fields.next()) {
        if (std::cmp_equal(fields.number(), number)) {
            text = fields.bytes();
        }
    }
    if (fields.malformed()) {
        return malformed(what);
    }
    if (text.size() > max_ref_length) {
        return failure{
            errc::too_large, failure_source::downstream, false,
            std::string{what} + " that names something in more than " + std::to_string(max_ref_length) + " bytes"};
    }
    return std::string{text};
}

}  // namespace

std::string_view solve_info::attr(std::string_view key) const
{
    const auto at = attrs.find(key);
    return at == attrs.end() ? std::string_view{} : at->second;
}

std::string_view without_session_prefix(std::string_view id)
{
    const auto colon = id.find(':');
    return colon == std::string_view::npos || colon + 1 == id.size() ? id : id.substr(colon + 1);
}

result<solve_info> parse_solve(std::string_view message)
{
    using request = wire::control::SolveRequest;
    solve_info info;
    session_collector others;
    attr_keeper attrs{info};
    std::string_view ref;
    std::string_view session;
    std::string_view frontend;
    std::string_view old_exporter;
    bool entries_good = true;
    wire_reader fields{message};
    while (!others.failed() && entries_good && fields.next()) {
        switch (fields.number()) {
            case request::kRefFieldNumber: ref = fields.bytes(); break;
            case request::kDefinitionFieldNumber: others.add_definition(fields.bytes()); break;
            case request::kExporterDeprecatedFieldNumber: old_exporter = fields.bytes(); break;
            case request::kSessionFieldNumber: session = fields.bytes(); break;
            case request::kFrontendFieldNumber: frontend = fields.bytes(); break;
            case request::kFrontendAttrsFieldNumber: {
                std::string_view key;
                std::string_view value;
                entries_good = read_attr(fields.bytes(), key, value, others, info.linked);
                attrs.keep(key, value);
                break;
            }
            case request::kFrontendInputsFieldNumber: entries_good = read_input(fields.bytes(), others); break;
            case request::kInternalFieldNumber: info.internal = fields.boolean(); break;
            case request::kExportersFieldNumber: {
                std::string type;
                entries_good = read_exporter(fields.bytes(), type);
                if (info.exporters.size() < max_exporters) {
                    info.exporters.push_back(std::move(type));
                }
                break;
            }
            case request::kSourcePolicySessionFieldNumber: others.add(fields.bytes()); break;
            default: break;
        }
    }
    if (fields.malformed() || !entries_good) {
        return malformed("Solve request");
    }
    info.remote_source = others.remote_source();
    session_collector all;
    all.add(session);
    for (const std::string& other : others.take()) {
        all.add(other);
    }
    if (ref.size() > max_ref_length) {
        others.fail(errc::too_large, "a Ref of " + std::to_string(ref.size()) + " bytes: at most " +
                                         std::to_string(max_ref_length) + " are taken");
    }
    if (others.failed() || all.failed()) {
        return others.failed() ? *others.problem() : *all.problem();
    }
    info.ref = ref;
    info.session = without_session_prefix(session);
    info.frontend = frontend.substr(0, max_ref_length);
    info.sessions = all.take();
    if (info.exporters.empty() && !old_exporter.empty()) {
        info.exporters.emplace_back(old_exporter.substr(0, max_ref_length));
    }
    return info;
}

result<bridge_solve_info> parse_bridge_solve(std::string_view message)
{
    using request = wire::gateway::SolveRequest;
    bridge_solve_info info;
    session_collector sessions;
    bool entries_good = true;
    wire_reader fields{message};
    while (!sessions.failed() && entries_good && fields.next()) {
        switch (fields.number()) {
            case request::kDefinitionFieldNumber: sessions.add_definition(fields.bytes()); break;
            case request::kFrontendFieldNumber: info.frontend = fields.bytes().substr(0, max_ref_length); break;
            case request::kFrontendOptFieldNumber: {
                std::string_view key;
                std::string_view value;
                entries_good = read_attr(fields.bytes(), key, value, sessions, info.linked);
                break;
            }
            case request::kFrontendInputsFieldNumber: entries_good = read_input(fields.bytes(), sessions); break;
            default: break;
        }
    }
    if (fields.malformed() || !entries_good) {
        return malformed("LLBBridge/Solve request");
    }
    if (sessions.failed()) {
        return *sessions.problem();
    }
    info.remote_source = sessions.remote_source();
    info.sessions = sessions.take();
    return info;
}

result<std::string> parse_status_ref(std::string_view message)
{
    return parse_text(message, wire::control::StatusRequest::kRefFieldNumber, "Status request");
}

result<std::string> parse_history_ref(std::string_view message)
{
    return parse_text(message, wire::control::BuildHistoryRequest::kRefFieldNumber, "ListenBuildHistory request");
}

result<std::string> parse_update_history_ref(std::string_view message)
{
    return parse_text(message, wire::control::UpdateBuildHistoryRequest::kRefFieldNumber, "UpdateBuildHistory request");
}

}  // namespace buildkit_lb::buildkit
