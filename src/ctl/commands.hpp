#pragma once

#include <chrono>
#include <iosfwd>
#include <string>

#include "ctl/admin_call.hpp"

/// The commands of the command line that speak to a running balancer. Each writes what people (or scripts) read, and
/// returns the exit code of the process.
namespace buildkit_lb::ctl {

enum exit_code : int {
    ok = 0,
    failed = 1,     ///< the balancer could not be asked, or refused
    timed_out = 4,  ///< builds of the worker had not ended within the timeout
};

struct console {
    std::ostream& out;
    std::ostream& err;
};

/// Pools and workers: a table, or with `json` one document of what /api/v1/pools and /api/v1/workers say.
int status(const admin_server& server, bool json, console to);

struct drain_options {
    std::string worker;
    std::string pool;  ///< empty: every pool that has it
    bool wait = false;
    std::chrono::milliseconds timeout = std::chrono::hours{2};  ///< of the wait
};

/// No new builds for the worker; with `wait` it returns when the last one has ended.
int drain(const admin_server& server, const drain_options& options, console to);

/// New builds again.
int undrain(const admin_server& server, const std::string& worker, const std::string& pool, console to);

}  // namespace buildkit_lb::ctl
