#pragma once

#include <cstdio>
#include <cstdlib>

namespace buildkit_lb::fuzz {

/// Ends the process where `holds` is false: a finding. `what` says what must hold.
inline void require(bool holds, const char* what)
{
    if (!holds) {
        std::fprintf(stderr, "does not hold: %s\n", what);
        std::abort();
    }
}

}  // namespace buildkit_lb::fuzz
