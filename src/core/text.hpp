#pragma once

#include <algorithm>
#include <cctype>
#include <string>
#include <string_view>

namespace buildkit_lb {

/// ASCII letters in lower case: for host names, header names and the like. Pure; any thread.
inline std::string lower_case(std::string_view text)
{
    std::string out{text};
    std::transform(out.begin(), out.end(), out.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return out;
}

/// `pattern` is a host name, or `*.example.test`, which means every name below that one. Both in lower case. Pure; any
/// thread.
inline bool host_matches(std::string_view host, std::string_view pattern)
{
    return pattern.starts_with("*.") ? host.size() >= pattern.size() && host.ends_with(pattern.substr(1))
                                     : host == pattern;
}

}  // namespace buildkit_lb
