#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "buildkit/content.hpp"
#include "buildkit/history_events.hpp"
#include "buildkit/pong.hpp"
#include "buildkit/pool_answers.hpp"
#include "buildkit/ref_map.hpp"
#include "buildkit/ref_walk.hpp"
#include "buildkit/wire/gateway.pb.h"
#include "support/input.hpp"
#include "support/require.hpp"
#include "support/targets.hpp"

namespace buildkit_lb::fuzz {
namespace {

using namespace buildkit;

std::vector<std::string_view> pieces(fuzz_input& script)
{
    std::vector<std::string_view> out;
    while (!script.empty() && out.size() < 8) {
        out.push_back(script.long_piece());
    }
    return out;
}

std::set<std::string> enabled_caps(std::string_view pong)
{
    wire::gateway::PongResponse response;
    require(response.ParseFromArray(pong.data(), static_cast<int>(pong.size())), "an intersection is a message");
    std::set<std::string> ids;
    for (const auto& cap : response.llbcaps()) {
        if (cap.enabled()) {
            ids.insert(cap.id());
        }
    }
    return ids;
}

void check_pongs(fuzz_input& script)
{
    const auto pongs = pieces(script);
    const auto common = intersect_pongs(pongs);
    if (!common) {
        return;
    }
    const auto ids = enabled_caps(*common);
    for (const std::string_view pong : pongs) {
        const auto had = enabled_caps(pong);
        require(std::includes(had.begin(), had.end(), ids.begin(), ids.end()), "what all can do each can do");
    }
    native_platform(*common);
}

void check_records(fuzz_input& script)
{
    std::vector<std::string> all;
    const std::string preferred{script.piece()};
    const auto answers = pieces(script);
    for (const std::string_view answer : answers) {
        if (const auto records = worker_records(answer)) {
            all.insert(all.end(), records->begin(), records->end());
        }
        total_of(answer);
    }
    const std::string merged = merge_worker_records(all, preferred);
    const auto records = worker_records(merged);
    require(records && records->size() <= all.size(), "no worker is made up");
    require(merge_worker_records(*records, preferred) == merged, "merged once is merged");
    if (!answers.empty()) {
        require(oldest_info(answers) < answers.size(), "the oldest is one of them");
    }
}

void check_history(fuzz_input& script)
{
    const auto limit = static_cast<std::int32_t>(script.byte() % 5);
    history_batch batch{limit};
    std::size_t running = 0;
    std::size_t added = 0;
    while (!script.empty()) {
        auto event = parse_history_event(std::string{script.piece()});
        if (!event) {
            continue;
        }
        require(parse_history_event(event->bytes)->identity == event->identity, "an event is itself");
        for (const auto& attestation : attestations_of(event->bytes)) {
            require(event->bytes.find(attestation.digest) != std::string::npos, "no digest is made up");
        }
        running += event->type != history_event_type::complete ? 1 : 0;
        ++added;
        batch.add(std::move(*event));
    }
    const auto events = batch.take();
    require(batch.empty() && batch.bytes() == 0, "what is taken is gone");
    require(events.size() <= added && events.size() >= running, "no event is made up, no running build left out");
    require(limit == 0 || events.size() <= running + static_cast<std::size_t>(limit), "the limit holds");
}

/// Refs replaced, and put back.
void check_refs(fuzz_input& script)
{
    const std::size_t kind = script.below(3);
    const std::string_view message = script.rest();
    const auto walk = kind == 0 ? walk_solve_response : kind == 1 ? walk_return : walk_ref_request;
    std::vector<std::string> met;
    std::string same;
    const bool good = walk(
        message,
        [&](const std::string&, std::string_view id) {
            met.emplace_back(id);
            return std::string{id};
        },
        same);
    if (!good) {
        return;
    }
    std::string marked;
    require(walk(
                same, [](const std::string&, std::string_view id) { return "new-" + std::string{id}; }, marked),
            "a copy can be walked");
    std::size_t at = 0;
    std::string back;
    require(walk(
                marked,
                [&](const std::string&, std::string_view id) {
                    require(at < met.size() && id == "new-" + met[at], "the same refs in the same order");
                    return met[at++];
                },
                back),
            "a changed copy can be walked");
    require(at == met.size() && back == same, "refs that are put back make the same message");
    returns_error(message);
    if (const auto refs = refs_of_answer(message)) {
        ref_map map;
        require(map.pair(*refs, *refs), "an answer stands for itself");
        map.rewritten(method::llb_return, message);
    }
}

}  // namespace

void answers(std::string_view input)
{
    fuzz_input script{input};
    switch (script.below(5)) {
        case 0: check_pongs(script); break;
        case 1: check_records(script); break;
        case 2: check_history(script); break;
        case 3: {
            const std::string_view message = script.rest();
            parse_history_request(message);
            history_search(message);
            break;
        }
        default: check_refs(script); break;
    }
}

}  // namespace buildkit_lb::fuzz
