#include <algorithm>
#include <string>

#include "buildkit/content.hpp"
#include "buildkit/session_scan.hpp"
#include "buildkit/solve_info.hpp"
#include "buildkit/trace_ids.hpp"
#include "buildkit/url_text.hpp"
#include "buildkit/wire/control.pb.h"
#include "support/input.hpp"
#include "support/require.hpp"
#include "support/targets.hpp"

namespace buildkit_lb::fuzz {
namespace {

using namespace buildkit;

template <class Info>
void check_sessions(const Info& info)
{
    require(info.sessions.size() <= max_sessions, "sessions are bounded in number");
    for (const std::string& s : info.sessions) {
        require(!s.empty() && s.size() <= max_session_length, "sessions are bounded in length");
        require(std::count(info.sessions.begin(), info.sessions.end(), s) == 1, "each session once");
    }
    require(info.frontend.size() <= max_ref_length, "what is kept is bounded");
    normalized_url(info.remote_source);
}

void check_solve(std::string_view message)
{
    const auto info = parse_solve(message);
    if (!info) {
        require(info.error().source == failure_source::downstream && !info.error().detail.empty(),
                "a bad request is the client's, with a reason");
        return;
    }
    check_sessions(*info);
    require(info->ref.size() <= max_ref_length && info->exporters.size() <= max_exporters, "what is kept is bounded");
    std::size_t size = 0;
    for (const auto& [key, value] : info->attrs) {
        size += key.size() + value.size();
        require(key.size() + value.size() <= max_attr_size, "attributes are bounded");
    }
    require(info->attrs.size() <= max_attrs && size <= max_attrs_size, "attributes are bounded together");
    // The generated class reads the same, where it takes the message at all.
    wire::control::SolveRequest request;
    if (!request.ParseFromArray(message.data(), static_cast<int>(message.size()))) {
        return;
    }
    require(request.ref() == info->ref, "the Ref is the one that a worker reads");
    require(without_session_prefix(request.session()) == info->session, "so is the session");
    require(request.internal() == info->internal, "and whether it is internal");
    if (!info->attrs_left_out) {
        require(request.frontendattrs().size() == info->attrs.size(), "and the attributes");
        for (const auto& [key, value] : request.frontendattrs()) {
            require(info->attr(key) == value, "with their values");
        }
    }
}

void check_names(std::string_view message)
{
    for (const auto& name :
         {parse_status_ref(message), parse_history_ref(message), parse_update_history_ref(message)}) {
        require(!name || name->size() <= max_ref_length, "names are bounded");
    }
    if (const auto content = parse_content_request(message)) {
        require(content->digest.size() <= max_ref_length, "digests are bounded");
    }
    if (const auto traces = exported_traces(message)) {
        require(traces->size() <= max_traces, "traces are bounded");
        for (const std::string& id : *traces) {
            require(id.size() == 32 && id.find_first_not_of("0123456789abcdef") == std::string::npos,
                    "a trace id is 32 hex digits");
        }
    }
}

void check_scan(std::string_view message)
{
    std::size_t asked = 0;
    const auto found = find_sessions(message, {25, 8}, [&](std::string_view id) {
        ++asked;
        require(id.size() == 25 || id.size() == 8, "only texts of a known length are asked for");
        return id.front() == 'x';
    });
    require(asked <= 2 * message.size(), "at most one question for each byte and length");
    for (const std::string& id : found) {
        require(id.front() == 'x' && message.find(id) != std::string_view::npos, "what is found is there");
    }
}

}  // namespace

void solve(std::string_view input)
{
    fuzz_input script{input};
    const std::size_t kind = script.below(4);
    const std::string_view message = script.rest();
    switch (kind) {
        case 0: check_solve(message); break;
        case 1:
            if (const auto info = parse_bridge_solve(message)) {
                check_sessions(*info);
            }
            break;
        case 2: check_names(message); break;
        default: check_scan(message); break;
    }
}

}  // namespace buildkit_lb::fuzz
