#pragma once

#include <string>

#include "buildkit/wire/ops.pb.h"

namespace buildkit_lb::buildkit {

/// `linux/amd64`, `linux/arm/v7`: a platform as people and configuration files write it. Pure; any thread.
std::string platform_name(const wire::ops::Platform& platform);

}  // namespace buildkit_lb::buildkit
