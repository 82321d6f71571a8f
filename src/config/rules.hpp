#pragma once

#include "config/config.hpp"
#include "config/reading.hpp"

namespace buildkit_lb::config {

/// Checks what no single key can tell: names that must be unique, references, addresses used twice. Reports to `in`.
/// Values that could not be read hold their defaults here and are passed over.
void check_rules(const root& r, reading& in);

}  // namespace buildkit_lb::config
