#include <string>

#include "buildkit/build_status.hpp"
#include "buildkit/grpc_framing.hpp"
#include "buildkit/progress.hpp"
#include "buildkit/wire/control.pb.h"
#include "support/input.hpp"
#include "support/require.hpp"
#include "support/targets.hpp"

namespace buildkit_lb::fuzz {
namespace {

using namespace buildkit;

constexpr std::size_t most_vertices = 8;

void check_totals(const status_totals& t)
{
    require(t.total <= most_vertices, "vertices are bounded");
    require(t.completed <= t.total && t.cached <= t.total && t.executed <= t.completed && t.open <= t.total &&
                t.errors <= t.total,
            "no part is more than the whole");
}

wire::control::StatusResponse unframed(const std::string& message)
{
    wire::control::StatusResponse response;
    require(message.size() >= message_header_size && response.ParseFromString(message.substr(message_header_size)),
            "what we write is a message");
    return response;
}

void check_stream(fuzz_input& script)
{
    build_status status{most_vertices};
    wall_time now{std::chrono::seconds{1'700'000'000}};
    while (!script.empty()) {
        const auto before = status.totals();
        const auto fed = status.feed(script.long_piece(), now += std::chrono::milliseconds{script.byte()});
        require(fed || fed.error().source == failure_source::upstream, "bad bytes are the worker's");
        require(status.totals().total >= before.total && status.totals().completed >= before.completed,
                "counts only grow");
        check_totals(status.totals());
    }
    const auto open = status.totals().open;
    const std::string closing = status.close_open(now);
    require(closing.empty() || open != 0, "there is something to close only where something is open");
    if (!closing.empty()) {
        const auto response = unframed(closing);
        // One whose bytes are no message to protobuf is left out: no client can have read it either.
        require(response.vertexes_size() <= static_cast<int>(open), "only open vertices are closed");
        for (const auto& v : response.vertexes()) {
            require(v.has_completed() && v.error().empty(), "closed without an error");
        }
    }
    require(status.totals().open == 0 && status.close_open(now).empty(), "nothing is open afterwards");
}

/// Our own lines, whatever names there are.
void check_lines(fuzz_input& script)
{
    const std::string_view ref = script.piece();
    const std::string_view worker = script.piece();
    const std::string_view reason = script.piece();
    const wall_time now{std::chrono::seconds{1'700'000'000}};
    const auto placed = unframed(placed_line(ref, worker, reason, now));
    require(placed.vertexes_size() == 1 && placed.vertexes(0).has_completed(), "one line, and it is over");
    unframed(restarted_line(ref, script.byte(), worker, reason, now));
    progress_vertex vertex{ref, "w", worker};
    const auto open = unframed(vertex.open(now));
    require(open.vertexes(0).digest() == vertex.digest(), "a vertex keeps its digest");
    unframed(vertex.rows({{std::string{reason}, now, {}}}, now));
    unframed(vertex.completed(now, {}, worker));
}

}  // namespace

void status(std::string_view input)
{
    fuzz_input script{input};
    if (script.below(4) != 0) {
        check_stream(script);
    } else {
        check_lines(script);
    }
}

}  // namespace buildkit_lb::fuzz
