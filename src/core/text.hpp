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

}  // namespace buildkit_lb
