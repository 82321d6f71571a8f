#include "proxy/buildkit/client_limits.hpp"

#include <fmt/format.h>
#include <string>
#include <utility>

#include "proxy/buildkit/service.hpp"

namespace buildkit_lb::proxy {
namespace {

failure refusal(const buildkit_service& of, errc code, std::string_view limit, std::string why)
{
    of.instruments.client_limit_reached(of.shared.pool.workers->name(), limit);
    return {code, failure_source::downstream, false, std::move(why)};
}

failure too_many(const buildkit_service& of, std::string_view limit, std::uint32_t most, std::string_view what)
{
    return refusal(of, errc::too_many, limit,
                   fmt::format("buildkit-lb: this client has {} {} already (limits.{}_per_client)", most, what, limit));
}

}  // namespace

failure too_many_queued_builds(const buildkit_service& of)
{
    return too_many(of, "queued_builds", of.per_client.queued_builds, "builds in the queue");
}

failure too_many_held_calls(const buildkit_service& of)
{
    return too_many(of, "held_calls", of.per_client.held_calls, "calls that wait for their builds");
}

failure too_many_sessions(const buildkit_service& of)
{
    return too_many(of, "sessions", of.per_client.sessions, "sessions");
}

failure message_too_large(const buildkit_service& of)
{
    return refusal(of, errc::too_large, "message_size",
                   fmt::format("buildkit-lb: a gRPC message of more than {} bytes (limits.message_size)",
                               of.per_client.message_size));
}

}  // namespace buildkit_lb::proxy
