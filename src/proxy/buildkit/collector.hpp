#pragma once

#include <memory>
#include <prometheus/collectable.h>
#include <vector>

#include "proxy/buildkit/service.hpp"

namespace buildkit_lb::proxy {

/// What the buildkit connections of these pools hold now, read when a scrape asks: one gauge for each bound under
/// `limits`. For instruments::add_collector(); `pools` is called then.
std::shared_ptr<const prometheus::Collectable> make_buildkit_collector(
    std::function<std::vector<const buildkit_pool*>()> pools);

}  // namespace buildkit_lb::proxy
