#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "buildkit/wire_time.hpp"
#include "core/failure.hpp"

namespace buildkit_lb::buildkit {

/// What the Status stream of a build told so far.
struct status_totals {
    std::uint32_t total = 0;      ///< different vertices
    std::uint32_t completed = 0;  ///< of them, those that ended at least once
    std::uint32_t cached = 0;     ///< of them, those that came from the cache
    std::uint32_t executed = 0;   ///< completed and not from the cache: the cache misses
    std::uint32_t open = 0;       ///< started, not ended now
    std::uint32_t errors = 0;     ///< ended with an error at least once
    std::uint32_t warnings = 0;
    std::uint64_t messages = 0;
    std::optional<wall_time> first_started;  ///< by the worker's clock
    std::optional<wall_time> last_message;   ///< by the balancer's, as given to feed()
    bool overflow = false;                   ///< there were more vertices than are kept
};

/// Counts the steps of one build from the worker's StatusResponse messages, and remembers which are open.
///
/// Owned by the relay of the build's Status stream and called on its thread. The counts follow BuildKit's own, made for
/// its history (solver/llbsolver/history, ImportStatus: numTotalSteps, numCompletedSteps, numCachedSteps): every
/// vertex counts once by its digest, `[internal]` ones too; it is cached if any message said so, and completed if any
/// message carried its end. The balancer's own vertices (progress.hpp) are not fed here.
class build_status {
public:
    static constexpr std::size_t default_max_vertices = 20'000;

    explicit build_status(std::size_t max_vertices = default_max_vertices) : max_vertices_{max_vertices} {}

    /// Takes one serialized StatusResponse, received `now`. Malformed bytes are errc::protocol with the source
    /// upstream; what was read before the fault stays counted. For a new worker after a restart, go on feeding the same
    /// object.
    result<void> feed(std::string_view message, wall_time now);

    const status_totals& totals() const { return totals_; }

    /// A StatusResponse, framed for gRPC, that ends every open vertex `now` without an error; empty if none is open.
    /// They count as ended afterwards, but not as completed. For a build whose worker was lost: the client's display
    /// has to close them before another worker's vertices come.
    std::string close_open(wall_time now);

private:
    struct vertex {
        bool completed = false;
        bool cached = false;
        bool failed = false;
        bool is_open = false;
        std::string open;  // the serialized vertex while it is open
    };

    bool feed_vertex(std::string_view bytes);
    void set_open(vertex& v, bool open, std::string_view bytes);

    std::size_t max_vertices_;
    std::unordered_map<std::string, vertex> vertices_;
    std::size_t open_bytes_ = 0;
    status_totals totals_;
};

}  // namespace buildkit_lb::buildkit
