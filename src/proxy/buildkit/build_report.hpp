#pragma once

#include "proxy/buildkit/build_record.hpp"
#include "proxy/buildkit/call.hpp"
#include "proxy/buildkit/service.hpp"

namespace buildkit_lb::proxy {

/// A build has ended so, `took` after it was sent to its first worker: one log line, the metrics, what the admin pages
/// tell of it, and what its policy learns from it. Once for each build, by the thread of its Solve.
void report(buildkit_service& service, const build_record& r, const call::ending& how, duration took);

}  // namespace buildkit_lb::proxy
