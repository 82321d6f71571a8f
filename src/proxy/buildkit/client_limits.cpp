#include "proxy/buildkit/client_limits.hpp"

#include <fmt/format.h>

#include "proxy/buildkit/service.hpp"

namespace buildkit_lb::proxy {
namespace {

failure refusal(const buildkit_service& of, std::string_view limit, std::uint32_t most, std::string_view what)
{
    of.instruments.client_limit_reached(of.shared.pool.workers->name(), limit);
    return {errc::too_many, failure_source::downstream, false,
            fmt::format("buildkit-lb: this client has {} {} already (limits.{}_per_client)", most, what, limit)};
}

}  // namespace

failure too_many_queued_builds(const buildkit_service& of)
{
    return refusal(of, "queued_builds", of.per_client.queued_builds, "builds in the queue");
}

failure too_many_held_calls(const buildkit_service& of)
{
    return refusal(of, "held_calls", of.per_client.held_calls, "calls that wait for their builds");
}

failure too_many_sessions(const buildkit_service& of)
{
    return refusal(of, "sessions", of.per_client.sessions, "sessions");
}

}  // namespace buildkit_lb::proxy
