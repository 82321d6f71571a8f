#include "buildkit/ref_map.hpp"

#include <algorithm>

#include "buildkit/ref_walk.hpp"
#include "buildkit/wire/gateway.pb.h"
#include "buildkit/wire_reader.hpp"

namespace buildkit_lb::buildkit {

result<std::vector<placed_ref>> refs_of_answer(std::string_view solve_response)
{
    std::vector<placed_ref> found;
    std::string copy;
    const auto visit = [&](const std::string& place, std::string_view id) {
        found.push_back({place, std::string{id}});
        return std::string{};
    };
    if (!walk_solve_response(solve_response, visit, copy)) {
        return failure{errc::protocol, failure_source::upstream, false, "a malformed answer to LLBBridge/Solve"};
    }
    return found;
}

bool returns_error(std::string_view request)
{
    wire_reader fields{request};
    while (fields.next()) {
        if (fields.number() == wire::gateway::ReturnRequest::kErrorFieldNumber) {
            return true;
        }
    }
    return false;
}

bool ref_map::pair(const std::vector<placed_ref>& known, const std::vector<placed_ref>& present)
{
    for (const auto& ref : known) {
        const auto same = std::find_if(present.begin(), present.end(),
                                       [&](const placed_ref& other) { return other.place == ref.place; });
        if (same == present.end()) {
            return false;
        }
        present_.insert_or_assign(ref.id, same->id);
    }
    return true;
}

std::string_view ref_map::present(std::string_view known) const
{
    const auto found = present_.find(std::string{known});
    return found != present_.end() ? std::string_view{found->second} : known;
}

std::optional<std::string> ref_map::rewritten(method kind, std::string_view request) const
{
    const bool holds_refs = kind == method::llb_return || kind == method::llb_ref;
    if (!holds_refs || empty()) {
        return std::string{request};
    }
    const auto walk = kind == method::llb_return ? &walk_return : &walk_ref_request;
    const auto visit = [this](const std::string&, std::string_view id) { return std::string{present(id)}; };
    std::string out;
    if (!walk(request, visit, out)) {
        return std::nullopt;
    }
    return out;
}

}  // namespace buildkit_lb::buildkit
