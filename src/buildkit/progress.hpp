#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "buildkit/wire_time.hpp"

namespace buildkit_lb::buildkit {

/// Writes one vertex of the balancer's own into a build's Status stream: `#1 [buildkit-lb] waiting for a free worker`.
///
/// Each member returns one StatusResponse, framed for gRPC (uncompressed), to be put between two of the worker's
/// messages. Owned by whoever writes that stream; keeps no clock: times are the balancer's, handed in.
class progress_vertex {
public:
    /// A line under the vertex. buildx and buildctl print its text, with the time since `started` if that is not zero,
    /// and `done` once it has `completed`. A text that was shown before is shown again only 5 s later, so make texts
    /// differ.
    struct row {
        std::string text;
        wall_time started;
        std::optional<wall_time> completed;
    };

    /// `name` is shown after `[buildkit-lb] `. `suffix` tells several vertices of one build apart.
    progress_vertex(std::string_view ref, std::string_view suffix, std::string_view name);

    /// The vertex, started and ended `at` the same moment.
    std::string finished(wall_time at) const;
    /// The vertex as an open step. `at` is kept for completed().
    std::string open(wall_time at);
    /// Rows under the open vertex.
    std::string rows(const std::vector<row>& changed, wall_time now) const;
    /// The end of the open vertex; `rows` are ended with it. With `error` the clients print it in place of DONE.
    std::string completed(wall_time now, const std::vector<row>& last = {}, std::string_view error = {}) const;

    const std::string& digest() const { return digest_; }
    const std::string& name() const { return name_; }

private:
    std::string digest_;
    std::string name_;
    wall_time started_;
};

/// The digest of the balancer's vertex: unique for a Ref and suffix, because a bake's displays are keyed by it.
std::string progress_digest(std::string_view ref, std::string_view suffix);

/// `[buildkit-lb] w2 (least-active-builds)` as one finished vertex, framed: what the client is told of a pick.
std::string placed_line(std::string_view ref, std::string_view worker, std::string_view reason, wall_time at);

/// `[buildkit-lb] w2 was lost; the build starts again on w3` as one finished vertex, framed. `attempt` counts the times
/// the build was begun, this one included.
std::string restarted_line(std::string_view ref, std::size_t attempt, std::string_view lost, std::string_view worker,
                           wall_time at);

}  // namespace buildkit_lb::buildkit
