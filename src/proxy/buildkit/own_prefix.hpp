#pragma once

#include <string_view>

namespace buildkit_lb::proxy {

/// What every message of the balancer's own to a client begins with, so that nobody takes it for the worker's.
constexpr std::string_view own_prefix = "buildkit-lb: ";

/// The message for where its sender is clear, or inside of another one.
constexpr std::string_view without_own_prefix(std::string_view text)
{
    return text.starts_with(own_prefix) ? text.substr(own_prefix.size()) : text;
}

}  // namespace buildkit_lb::proxy
