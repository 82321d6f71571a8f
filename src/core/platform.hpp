#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace buildkit_lb {

/// What a build is for and a worker can run: `linux/amd64`, `linux/arm/v7`. In normal form equal platforms are equal
/// texts: lower case, `aarch64` and `x86_64` by their names in Go, no variant where it is the usual one (`arm64/v8`,
/// `amd64/v1`), and `arm` is `arm/v7`. That is how containerd's platforms package normalises them. Pure; any thread.

/// `os/arch[/variant]` in normal form; nullopt when it is not of that form.
std::optional<std::string> normal_platform(std::string_view text);

/// The same for a list with commas between, each once; nullopt when one of them can't be read.
std::optional<std::vector<std::string>> normal_platforms(std::string_view text);

/// A processor of `host` runs `wanted` (both in normal form) without emulation: the same architecture in any variant,
/// and the 32-bit sibling of a 64-bit one (containerd's platforms.Only takes these for the host's own too).
bool runs_natively(std::string_view host, std::string_view wanted);

}  // namespace buildkit_lb
