#include "buildkit/methods.hpp"

#include <algorithm>
#include <iterator>

namespace buildkit_lb::buildkit {
namespace {

struct entry {
    std::string_view name;  // the path without its slash
    method kind;
};

constexpr bool operator<(const entry& a, const entry& b)
{
    return a.name < b.name;
}

// Sorted by name, for the binary search below: six comparisons.
constexpr entry known[] = {
    {"containerd.services.content.v1.Content/Abort", method::content_other},
    {"containerd.services.content.v1.Content/Delete", method::content_other},
    {"containerd.services.content.v1.Content/Info", method::content_info},
    {"containerd.services.content.v1.Content/List", method::content_other},
    {"containerd.services.content.v1.Content/ListStatuses", method::content_other},
    {"containerd.services.content.v1.Content/Read", method::content_read},
    {"containerd.services.content.v1.Content/Status", method::content_other},
    {"containerd.services.content.v1.Content/Update", method::content_other},
    {"containerd.services.content.v1.Content/Write", method::content_other},
    {"grpc.health.v1.Health/Check", method::health_check},
    {"grpc.health.v1.Health/Watch", method::health_watch},
    {"grpc.reflection.v1.ServerReflection/ServerReflectionInfo", method::reflection},
    {"grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", method::reflection},
    {"moby.buildkit.v1.Control/DiskUsage", method::disk_usage},
    {"moby.buildkit.v1.Control/Info", method::info},
    {"moby.buildkit.v1.Control/ListWorkers", method::list_workers},
    {"moby.buildkit.v1.Control/ListenBuildHistory", method::listen_history},
    {"moby.buildkit.v1.Control/Prune", method::prune},
    {"moby.buildkit.v1.Control/Session", method::control_session},
    {"moby.buildkit.v1.Control/Solve", method::control_solve},
    {"moby.buildkit.v1.Control/Status", method::control_status},
    {"moby.buildkit.v1.Control/UpdateBuildHistory", method::update_history},
    {"moby.buildkit.v1.frontend.LLBBridge/Evaluate", method::llb_ref},
    {"moby.buildkit.v1.frontend.LLBBridge/ExecProcess", method::llb_container},
    {"moby.buildkit.v1.frontend.LLBBridge/Inputs", method::llb_question},
    {"moby.buildkit.v1.frontend.LLBBridge/NewContainer", method::llb_container},
    {"moby.buildkit.v1.frontend.LLBBridge/Ping", method::llb_ping},
    {"moby.buildkit.v1.frontend.LLBBridge/ReadDir", method::llb_ref},
    {"moby.buildkit.v1.frontend.LLBBridge/ReadDirContainer", method::llb_container},
    {"moby.buildkit.v1.frontend.LLBBridge/ReadFile", method::llb_ref},
    {"moby.buildkit.v1.frontend.LLBBridge/ReadFileContainer", method::llb_container},
    {"moby.buildkit.v1.frontend.LLBBridge/ReleaseContainer", method::llb_container},
    {"moby.buildkit.v1.frontend.LLBBridge/ResolveImageConfig", method::llb_question},
    {"moby.buildkit.v1.frontend.LLBBridge/ResolveSourceMeta", method::llb_question},
    {"moby.buildkit.v1.frontend.LLBBridge/Return", method::llb_return},
    {"moby.buildkit.v1.frontend.LLBBridge/Solve", method::llb_solve},
    {"moby.buildkit.v1.frontend.LLBBridge/StatFile", method::llb_ref},
    {"moby.buildkit.v1.frontend.LLBBridge/StatFileContainer", method::llb_container},
    {"moby.buildkit.v1.frontend.LLBBridge/Warn", method::llb_question},
    {"opentelemetry.proto.collector.trace.v1.TraceService/Export", method::trace_export},
};
static_assert(std::is_sorted(std::begin(known), std::end(known)));

}  // namespace

method_info classify(std::string_view path)
{
    if (!path.starts_with('/')) {
        return {};
    }
    const std::string_view name = path.substr(1);
    const auto* at = std::lower_bound(std::begin(known), std::end(known), entry{name, method::unknown});
    if (at != std::end(known) && at->name == name) {
        return {at->kind, at->name};
    }
    // A method newer than this table still belongs to its build, or to its digest.
    method_info guessed;
    if (name.starts_with("moby.buildkit.v1.frontend.LLBBridge/")) {
        guessed.kind = method::llb_other;
    } else if (name.starts_with("containerd.services.content.v1.Content/")) {
        guessed.kind = method::content_other;
    }
    return guessed;
}

std::string_view trace_id_of(std::string_view trace_parent)
{
    // version "-" trace-id "-" parent-id "-" flags
    constexpr std::size_t begin = 3;
    constexpr std::size_t size = 32;
    if (trace_parent.size() < begin + size + 1 || trace_parent[begin - 1] != '-' || trace_parent[begin + size] != '-') {
        return {};
    }
    const std::string_view id = trace_parent.substr(begin, size);
    const bool hex = id.find_first_not_of("0123456789abcdef") == std::string_view::npos;
    const bool zero = id.find_first_not_of('0') == std::string_view::npos;
    return hex && !zero ? id : std::string_view{};
}

}  // namespace buildkit_lb::buildkit
