#pragma once

#include <cstdint>
#include <string_view>

namespace buildkit_lb::buildkit {

/// What a call is about, as far as the balancer treats it differently. Any thread; no state.
enum class method : std::uint8_t {
    control_solve,
    control_status,
    control_session,
    list_workers,
    info,
    disk_usage,
    prune,
    listen_history,
    update_history,
    llb_ping,
    llb_solve,
    llb_return,
    llb_container,  ///< NewContainer, ReleaseContainer, ExecProcess and the …Container file calls: no restart after
                    ///< them
    llb_ref,        ///< ReadFile, ReadDir, StatFile, Evaluate: they name a result of LLBBridge/Solve
    llb_question,   ///< the other ones of a request and an answer: their requests can be sent again as they are
    llb_other,      ///< a call of LLBBridge that is not known here: it still names its build in a header
    content_info,
    content_read,
    content_other,
    trace_export,
    health_check,
    health_watch,
    reflection,
    unknown,
};

/// A classified `:path`. `label` is the full method name, for example `moby.buildkit.v1.Control/Solve`, or `other` for
/// one that is not in the table: bounded, so fit for a metric. It refers to static storage.
struct method_info {
    method kind = method::unknown;
    std::string_view label = "other";
};

/// Looks up an HTTP/2 `:path` such as `/moby.buildkit.v1.Control/Solve`.
method_info classify(std::string_view path);

/// Calls of LLBBridge: they name their build in the header `buildkit-controlapi-buildid`.
constexpr bool is_bridge(method m)
{
    return m >= method::llb_ping && m <= method::llb_other;
}

/// Calls of containerd's Content service: they name a digest.
constexpr bool is_content(method m)
{
    return m >= method::content_info && m <= method::content_other;
}

/// The request header in which a LLBBridge call carries the Ref of its build.
inline constexpr std::string_view build_id_header = "buildkit-controlapi-buildid";

/// The request headers of Control/Session. The last one is repeated, once for each method the client serves.
inline constexpr std::string_view session_id_header = "x-docker-expose-session-uuid";
inline constexpr std::string_view session_shared_key_header = "x-docker-expose-session-sharedkey";
inline constexpr std::string_view session_name_header = "x-docker-expose-session-name";
inline constexpr std::string_view session_method_header = "x-docker-expose-session-grpc-method";

/// The response header of Control/Status and ListenBuildHistory: the daemon's clock (see rfc3339()), for clients to set
/// theirs by.
inline constexpr std::string_view timestamp_header = "buildkit-current-timestamp";

/// The request header that tells which calls belong to one invocation of a client (W3C Trace Context, level 1).
inline constexpr std::string_view trace_parent_header = "traceparent";

/// The trace id of a `traceparent` value, 32 hex digits; empty when it is malformed or absent.
std::string_view trace_id_of(std::string_view trace_parent);

}  // namespace buildkit_lb::buildkit
