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

/// What else than the build itself may give a key.
struct key_surroundings {
    std::string_view shared_key;       ///< of the session
    std::string_view source_ip;        ///< the client's address, without port
    std::string_view authority;        ///< what the client dialled, maybe with a port
    std::string_view tls_client = {};  ///< the name of its certificate
};

/// The key of a build: the first of `sources` that it has. Sources are names of frontend attributes (`build-arg:…`,
/// `vcs:source`, `label:…`), `context` for a context that is a URL or the one remote source of a definition without a
/// frontend, `shared-key`, `source-ip`, `authority` and `tls-client`. `vcs:localdir:context`, `target` and `platform`
/// give no key of their own: they make one finer, wherever they stand.
///
/// URLs of one repository give one key however they are written, see normalized_url(); wherever a value comes from, the
/// credentials of a URL are left out. Of a shared key, which the client makes as `<directory>:<node id>`, the node id
/// goes: it is random on each machine. What a client makes up anew for each build (a tarball or a Dockerfile on stdin)
/// is no key. An authority loses its port; `localhost` counts as none. Pure; any thread.
affinity_key find_affinity_key(const solve_info& build, const key_surroundings& around,
                               const std::vector<std::string>& sources);

/// `affinity.keys` of the configuration unless it says otherwise.
const std::vector<std::string>& default_key_sources();

/// The host of an `:authority` in lower case, without its port; empty for `localhost`, which clients send when they
/// dialled a socket or a tunnel.
std::string dialled_host(std::string_view authority);

}  // namespace buildkit_lb::buildkit
