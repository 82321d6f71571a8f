#pragma once

#include "config/config.hpp"
#include "config/section.hpp"

namespace buildkit_lb::config {

/// The schema proper: reads the whole file into `out`. What spans several keys is checked by rules.hpp.
void read_root(section& in, root& out);

}  // namespace buildkit_lb::config
