#pragma once

#include <cstdint>
#include <optional>

#include "core/types.hpp"

namespace buildkit_lb::proxy {

/// When a worker that has calls to answer, and says nothing, is lost: its connection is looked at now and then, it is
/// asked something after a third of the time it may be silent, and given up when all of that time has passed. Whatever
/// it sends is a sign of life, not the answer alone. A host that is gone, or frozen, resets nothing; PINGs would do the
/// same, but BuildKit ends connections that send them often.
///
/// Pure; owned by the link_table for one link.
class liveness {
public:
    enum class step : std::uint8_t { nothing, ask, give_up };

    /// `bytes_in` is what has come from the worker so far, `busy` whether there are calls on the connection; `limit` is
    /// how long it may be silent, zero for ever.
    step look(duration limit, std::uint64_t bytes_in, bool busy, time_point now);

private:
    std::uint64_t bytes_in_ = 0;
    std::optional<time_point> silent_since_;
    std::optional<time_point> asked_;
};

}  // namespace buildkit_lb::proxy
