#pragma once

#include <boost/asio/awaitable.hpp>
#include <memory>

#include "proxy/buildkit/call.hpp"

/// What becomes of a call, one straight line for each kind. A flow runs on its call's thread, holds the call until it
/// knows where it goes, and is cancelled when the client goes away before that.
namespace buildkit_lb::proxy {

using call_ptr = std::shared_ptr<call>;

/// Control/Solve: places the build, and stays until it has ended (flows_solve.cpp).
boost::asio::awaitable<void> flow_solve(call_ptr c);

/// Control/Status: to the worker of its build, and read on the way back.
boost::asio::awaitable<void> flow_status(call_ptr c);

/// LLBBridge calls: to the worker of their build. Ping is answered here while the build has none.
boost::asio::awaitable<void> flow_bridge(call_ptr c);

/// ListWorkers and Info: answered from what workers were last heard to say, else asked of all. DiskUsage: asked of all
/// (flows_pool.cpp). Prune: on all, and what they tell is passed on as it comes.
boost::asio::awaitable<void> flow_list_workers(call_ptr c);
boost::asio::awaitable<void> flow_info(call_ptr c);
boost::asio::awaitable<void> flow_disk_usage(call_ptr c);
boost::asio::awaitable<void> flow_prune(call_ptr c);

/// ListenBuildHistory and UpdateBuildHistory: to the worker of the build they name, else to all (flows_history.cpp).
boost::asio::awaitable<void> flow_listen_history(call_ptr c);
boost::asio::awaitable<void> flow_update_history(call_ptr c);

/// The worker whose history has the build `ref`: remembered, or the first of all to say so. nullptr: none has. `c` is
/// the call that wants to know.
boost::asio::awaitable<std::shared_ptr<balancer::worker>> find_in_history(call_ptr c, std::string ref);

/// Content calls: to the worker that has the digest, remembered or the first of all to say so (flow_content.cpp).
boost::asio::awaitable<void> flow_content(call_ptr c);

/// TraceService/Export: to the workers on which builds of these traces ran (flow_trace.cpp).
boost::asio::awaitable<void> flow_trace_export(call_ptr c);

/// grpc.health.v1: whether the pool can take builds (flows_health.cpp).
boost::asio::awaitable<void> flow_health_check(call_ptr c);
boost::asio::awaitable<void> flow_health_watch(call_ptr c);

/// Ends a call that would go on for as long as its client listens, because the process stops.
void end_for_stop(call& c);

/// Anything else: to one worker, the same for the whole connection.
boost::asio::awaitable<void> flow_any(call_ptr c);

}  // namespace buildkit_lb::proxy
