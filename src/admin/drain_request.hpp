#pragma once

#include <functional>
#include <map>
#include <string>

#include "core/failure.hpp"
#include "core/types.hpp"

namespace buildkit_lb::admin {

/// What the query of `POST /api/v1/workers/NAME/drain` asks for.
struct drain_request {
    bool wait = false;
    duration timeout = std::chrono::hours{2};  ///< of the wait
    std::string pool;                          ///< empty: every pool that has the worker
};

/// Reads `wait`, `timeout` and `pool`. A key that is not known is an error: a misspelt `wait` would let builds be
/// killed. Pure.
checked<drain_request> read_drain_request(const std::map<std::string, std::string>& query);

/// The pool that `undrain` is for; empty: every pool that has the worker.
checked<std::string> read_undrain_request(const std::map<std::string, std::string>& query);

}  // namespace buildkit_lb::admin
