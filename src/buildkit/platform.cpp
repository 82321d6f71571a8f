#include "buildkit/platform.hpp"

namespace buildkit_lb::buildkit {

std::string platform_name(const wire::ops::Platform& platform)
{
    std::string name = platform.os() + "/" + platform.architecture();
    if (!platform.variant().empty()) {
        name += "/" + platform.variant();
    }
    return name;
}

}  // namespace buildkit_lb::buildkit
