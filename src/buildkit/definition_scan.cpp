#include "buildkit/definition_scan.hpp"

#include "buildkit/solve_info.hpp"
#include "buildkit/url_text.hpp"
#include "buildkit/wire/ops.pb.h"
#include "buildkit/wire_reader.hpp"

namespace buildkit_lb::buildkit {
namespace {

// A build op carries a definition, which may hold build ops: real ones nest once.
constexpr int max_nesting = 8;

}  // namespace

void session_collector::fail(errc code, std::string detail)
{
    if (!problem_) {
        problem_ = failure{code, failure_source::downstream, false, std::move(detail)};
    }
}

void session_collector::add(std::string_view id)
{
    id = without_session_prefix(id);
    if (id.empty() || failed() || seen_.contains(id)) {
        return;
    }
    if (id.size() > max_session_length) {
        fail(errc::too_large, "a session id of " + std::to_string(id.size()) + " bytes: at most " +
                                  std::to_string(max_session_length) + " are taken");
        return;
    }
    if (ordered_.size() == max_sessions) {
        fail(errc::too_many, "a build that names more than " + std::to_string(max_sessions) + " sessions");
        return;
    }
    ordered_.emplace_back(id);
    seen_.emplace(id);
}

void session_collector::add_definition(std::string_view definition)
{
    is_input_ = false;
    walk_definition(definition, 0);
}

void session_collector::add_input(std::string_view definition)
{
    is_input_ = true;
    walk_definition(definition, 0);
}

void session_collector::walk_definition(std::string_view definition, int depth)
{
    if (depth == max_nesting) {
        fail(errc::protocol, "a build definition that is nested too deeply");
        return;
    }
    wire_reader fields{definition};
    while (!failed() && fields.next()) {
        if (fields.number() == wire::ops::Definition::kDefFieldNumber) {
            walk_op(fields.bytes(), depth);
        }
    }
    if (fields.malformed()) {
        fail(errc::protocol, "a malformed build definition");
    }
}

void session_collector::walk_op(std::string_view op, int depth)
{
    wire_reader fields{op};
    while (!failed() && fields.next()) {
        if (fields.number() == wire::ops::Op::kSourceFieldNumber) {
            walk_source(fields.bytes());
        } else if (fields.number() == wire::ops::Op::kBuildFieldNumber) {
            wire_reader build{fields.bytes()};
            while (build.next()) {
                if (build.number() == wire::ops::BuildOp::kDefFieldNumber) {
                    walk_definition(build.bytes(), depth + 1);
                }
            }
            if (build.malformed()) {
                fail(errc::protocol, "a malformed build op");
            }
        }
    }
    if (fields.malformed()) {
        fail(errc::protocol, "a malformed op in a build definition");
    }
}

void session_collector::walk_source(std::string_view source)
{
    wire_reader fields{source};
    bool entries_good = true;
    std::string_view identifier;
    std::string_view full_url;
    while (fields.next()) {
        if (fields.number() == wire::ops::SourceOp::kIdentifierFieldNumber) {
            identifier = fields.bytes();
        } else if (fields.number() == wire::ops::SourceOp::kAttrsFieldNumber) {
            std::string_view key;
            std::string_view value;
            entries_good = read_map_entry(fields.bytes(), key, value) && entries_good;
            if (key == "local.session" || key == "oci.session") {
                add(value);
            } else if (key == "git.fullurl") {
                full_url = value;
            }
        }
    }
    if (fields.malformed() || !entries_good) {
        fail(errc::protocol, "a malformed source op");
    }
    if (is_input_) {
        return;
    }
    if (identifier.starts_with("git://")) {
        repositories_.add(full_url.empty() ? identifier : full_url);
    } else if (identifier.starts_with("http://") || identifier.starts_with("https://")) {
        files_.add(identifier);
    }
}

void session_collector::addresses::add(std::string_view address)
{
    if (several || address.size() > max_attr_size) {
        return;
    }
    std::string normal = normalized_url(address);
    if (normal.empty()) {
        return;
    }
    several = !normalized.empty() && normal != normalized;
    if (normalized.empty()) {
        normalized = std::move(normal);
        first = address;
    }
}

std::string session_collector::remote_source() const
{
    const addresses& kind = repositories_.normalized.empty() ? files_ : repositories_;
    return kind.several ? std::string{} : kind.first;
}

}  // namespace buildkit_lb::buildkit
