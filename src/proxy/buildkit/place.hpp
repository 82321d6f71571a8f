#pragma once

#include <boost/asio/awaitable.hpp>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "balancer/pick.hpp"
#include "core/failure.hpp"
#include "proxy/buildkit/build_record.hpp"
#include "proxy/buildkit/flows.hpp"
#include "proxy/buildkit/service.hpp"

namespace buildkit_lb::proxy {

/// A build while its Solve is here: known to placement, entered in the registry, counted on its worker. Owned by the
/// flow of its Solve, and of that thread.
struct running_build {
    running_build(buildkit_connection& client, std::shared_ptr<build_record> r);
    running_build(const running_build&) = delete;
    running_build& operator=(const running_build&) = delete;
    ~running_build();

    /// The worker has answered, or nobody wants an answer any more. Only the first time counts.
    void end();

    buildkit_connection& client;
    buildkit_pool& pool;
    std::shared_ptr<build_record> record;
    balancer::requirements needs;  ///< of its worker
    std::optional<balancer::pick> chosen;
    bool linked_to_parent = false;  ///< it was chosen because the build that is its input is there
    std::vector<std::shared_ptr<balancer::worker>> lost;  ///< it was lost with these: not to go there again

private:
    bool ended_ = false;
};

/// Where the build was chosen to go, as from now.
build_place place_of(const running_build& build);

/// Finds the build a worker that has room, waiting for one if need be; connects to it and gives it the build's
/// sessions; goes on to the next candidate if that fails. Null with the reason in `why` when there is none left, or the
/// wait was too long.
boost::asio::awaitable<link_table::link_ptr> place(running_build& build, std::vector<std::string> sessions,
                                                   failure& why);

}  // namespace buildkit_lb::proxy
