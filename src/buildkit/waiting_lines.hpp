#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "buildkit/progress.hpp"

namespace buildkit_lb::buildkit {

/// What a client is told while its build waits: an open step of the balancer's own, with the build's place in the
/// queue under it. Decides what is news: a place that changed, the same place again every 10 s, the end.
///
///     #1 [buildkit-lb] waiting for a free worker
///     #1 position 2 of 5
///     #1 DONE 12.1s
///
/// Each member returns framed messages for the build's Status stream, or nothing. Owned by the writer of that stream.
class waiting_lines {
public:
    /// How often a place is told that has not changed.
    static constexpr auto repeat = std::chrono::seconds{10};

    struct place {
        std::uint32_t position = 0;
        std::uint32_t length = 0;
        bool operator==(const place&) const = default;
    };

    explicit waiting_lines(std::string ref) : ref_{std::move(ref)} {}

    /// The build waits, as `title` says, since `since`. A new title ends the step before.
    std::string update(std::string_view title, const std::optional<place>& where, wall_time since, wall_time now);

    /// It waits no longer; `error` if it was given up.
    std::string end(wall_time now, std::string_view error = {});

private:
    std::string ref_;
    std::string title_;
    std::optional<progress_vertex> step_;  // while one is open
    std::optional<place> told_;
    wall_time told_at_;
    wall_time since_;
};

}  // namespace buildkit_lb::buildkit
