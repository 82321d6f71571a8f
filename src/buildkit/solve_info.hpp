#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/failure.hpp"

namespace buildkit_lb::buildkit {

/// Bounds on what is kept of a Solve. A request over one of the first three is refused (errc::too_many or too_large);
/// attributes over theirs are left out of the map, which then says so.
inline constexpr std::size_t max_ref_length = 256;
inline constexpr std::size_t max_session_length = 256;
inline constexpr std::size_t max_sessions = 256;    ///< distinct ones that one request names
inline constexpr std::size_t max_exporters = 64;    ///< more are not listed
inline constexpr std::size_t max_attr_size = 4096;  ///< key and value of one attribute together
inline constexpr std::size_t max_attrs = 2048;
inline constexpr std::size_t max_attrs_size = 256 << 10;

using attr_map = std::map<std::string, std::string, std::less<>>;

/// What the balancer wants to know of a Control/Solve request.
struct solve_info {
    std::string ref;      ///< names the build; may be empty: the daemon refuses such a request
    std::string session;  ///< SolveRequest.Session
    bool internal = false;
    /// Some frontend attribute's value starts with `input:`: the build may take its input from another build of the
    /// same client, which its LLBBridge/Solve tells.
    bool linked = false;
    std::string frontend;  ///< empty when the client runs the frontend itself, as buildx and buildctl do
    attr_map attrs;        ///< FrontendAttrs within the bounds above
    bool attrs_left_out = false;
    /// Every session the request names, each once: Session first, then SourcePolicySession, those of
    /// `local-sessionid:*` attributes and of source ops, in the order in which they were met.
    std::vector<std::string> sessions;
    std::vector<std::string> exporters;  ///< types, for example `image`
    /// The repository, or the file from the web, that Definition takes, if it is the only one. May hold credentials.
    std::string remote_source;

    /// The value of an attribute, or an empty text.
    std::string_view attr(std::string_view key) const;
};

/// What the balancer wants to know of a LLBBridge/Solve request.
struct bridge_solve_info {
    std::string frontend;
    bool linked = false;                ///< as in solve_info, of FrontendOpt
    std::vector<std::string> sessions;  ///< as in solve_info: FrontendOpt, Definition, FrontendInputs
    std::string remote_source;          ///< as in solve_info: a definition of buildctl comes here
};

/// Reads a serialized moby.buildkit.v1.SolveRequest. Malformed bytes are errc::protocol, with the source downstream;
/// nothing is thrown, and the memory used does not depend on what the bytes claim.
result<solve_info> parse_solve(std::string_view message);

/// Reads a serialized moby.buildkit.v1.frontend.SolveRequest likewise.
result<bridge_solve_info> parse_bridge_solve(std::string_view message);

/// Reads the Ref of a serialized StatusRequest, BuildHistoryRequest or UpdateBuildHistoryRequest. Empty when absent.
result<std::string> parse_status_ref(std::string_view message);
result<std::string> parse_history_ref(std::string_view message);
result<std::string> parse_update_history_ref(std::string_view message);

/// A session id without the `prefix:` that BuildKit puts before it to tell contexts apart (session.Manager.Get).
std::string_view without_session_prefix(std::string_view id);

}  // namespace buildkit_lb::buildkit
