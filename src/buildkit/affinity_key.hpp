#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "buildkit/solve_info.hpp"

namespace buildkit_lb::buildkit {

/// What makes two builds belong together. Never holds credentials.
struct affinity_key {
    std::string value;   ///< empty: the build has none
    std::string source;  ///< which of the sources gave it, for example `vcs:source`
};

/// The first of `sources` that the build has. Sources are names of frontend attributes (`build-arg:…`, `vcs:source`,
/// `label:…`, `target`, …), `context` for a context that is a URL, and `shared-key`, the session's.
///
/// URLs of one repository give one key however they are written: no scheme, user, default port, query, fragment or
/// `.git`, the host in lower case; `git@host:team/app.git` is `host/team/app`. Of a shared key, which the client makes
/// as `<directory>:<node id>`, the node id goes: it is random on each machine. Pure; any thread.
affinity_key find_affinity_key(const solve_info& build, std::string_view shared_key,
                               const std::vector<std::string>& sources);

/// `affinity.keys` of the configuration unless it says otherwise.
const std::vector<std::string>& default_key_sources();

/// A URL or an scp-like address of a repository in the form above; empty when it is neither.
std::string normalized_url(std::string_view url);

}  // namespace buildkit_lb::buildkit
