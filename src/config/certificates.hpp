#pragma once

#include "config/config.hpp"
#include "config/reading.hpp"

namespace buildkit_lb::config {

/// Reports what is wrong with the files that `tls` sections name. Reads them.
void check_certificates(const root& r, reading& in);

}  // namespace buildkit_lb::config
