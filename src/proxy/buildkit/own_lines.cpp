#include "proxy/buildkit/own_lines.hpp"

#include "balancer/pick.hpp"
#include "buildkit/methods.hpp"
#include "buildkit/place_words.hpp"
#include "buildkit/progress.hpp"
#include "proxy/buildkit/own_prefix.hpp"

namespace buildkit_lb::proxy {
namespace {

buildkit::wall_time wall_now()
{
    return std::chrono::system_clock::now();
}

/// What the client is told of a build's place.
std::string why_there(const build_record& record, const build_place& place)
{
    if (place.linked_to_parent) {
        return "with the target it is linked to";
    }
    if (place.reason == balancer::over_cap_reason) {
        return "over its cap, because other targets wait for this one";
    }
    return buildkit::place_words(place.policy, place.reason, record.key, record.key_source);
}

}  // namespace

void own_lines::look_at(const build_record& record)
{
    using reason = build_wait_state::reason;
    if (!progress_ || record.internal) {
        return;
    }
    const build_wait_state state = record.waiting();
    if (state.what == reason::worker) {
        const buildkit::waiting_lines::place place{state.place->position.load(std::memory_order_relaxed),
                                                   state.place->length.load(std::memory_order_relaxed)};
        tell(waiting_.update("waiting for a free worker", place, state.since, wall_now()));
    } else if (state.what == reason::parents) {
        tell(waiting_.update("waiting for the targets it is linked to", std::nullopt, state.since, wall_now()));
    }
}

void own_lines::placed(const build_record& record)
{
    if (const auto place = record.place(); place && progress_ && !record.internal) {
        tell(waiting_.end(wall_now()) +
             buildkit::placed_line(ref_, place->worker, why_there(record, *place), wall_now()));
    }
}

void own_lines::restarted(const build_record& record, std::size_t attempt)
{
    const auto place = record.place();
    const auto lost = record.lost_workers();
    if (place && !lost.empty() && progress_ && !record.internal) {
        tell(waiting_.end(wall_now()) +
             buildkit::restarted_line(ref_, attempt, lost.back(), place->worker, wall_now()));
    }
}

void own_lines::given_up(const failure& why)
{
    tell(waiting_.end(wall_now(), without_own_prefix(why.detail)));  // the step's name says it
}

void own_lines::tell(const std::string& messages)
{
    if (!messages.empty()) {
        call_.tell(messages, {{buildkit::timestamp_header, buildkit::rfc3339(wall_now())}});
    }
}

}  // namespace buildkit_lb::proxy
