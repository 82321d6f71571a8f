#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "proxy/buildkit/pool_call.hpp"

namespace buildkit_lb::proxy {

/// Fails the call, with what is wrong with each worker, if there is none to ask. Whether it did.
bool fail_without_workers(call& c, const std::vector<std::shared_ptr<balancer::worker>>& workers);

/// What is left of a pool_call when all have ended: the workers that failed it, in the order in which they did.
struct pool_failures {
    struct one {
        std::shared_ptr<balancer::worker> worker;
        buildkit::grpc_ending how;
        bool answered = false;  ///< the status is the worker's own
    };
    std::vector<one> all;
    std::size_t succeeded = 0;  ///< workers that ended with OK

    void note(const asked_worker& ended);

    /// One ending for the client where nobody succeeded: what the workers themselves said, if one did, else UNAVAILABLE
    /// with each worker and what is wrong with it.
    buildkit::grpc_ending for_all(const std::string& pool) const;

    /// `w2: why; w3: why`
    std::string text() const;
};

/// Waits until every worker of `asked` has ended. Each message of an answer goes to `use`.
boost::asio::awaitable<pool_failures> gather(pool_call& asked,
                                             std::function<void(const asked_worker&, std::string)> use);

/// Logs the errors that workers themselves gave to a call which others have answered.
void log_partial(const pool_failures& failures, const std::string& pool, std::string_view method);

}  // namespace buildkit_lb::proxy
