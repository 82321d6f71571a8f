#pragma once

#include <iosfwd>
#include <vector>

#include "simulation/simulation.hpp"

namespace buildkit_lb::simulation {

/// What came of one workload, under every policy that was tried.
struct report {
    settings of;
    double span = 0;
    ideal best;
    std::vector<result> results;
};

/// Tables for people.
void print(std::ostream& out, const report& r);

/// One line a policy, with the settings in front; a header line before the first if `header`.
void write_csv(std::ostream& out, const report& r, bool header);

/// One line for each policy and hour.
void write_hours(std::ostream& out, const report& r);

}  // namespace buildkit_lb::simulation
