#include "buildkit/session_scan.hpp"

namespace buildkit_lb::buildkit {

std::size_t session_run_end(std::string_view bytes, std::size_t from)
{
    while (from < bytes.size() && is_session_char(bytes[from])) {
        ++from;
    }
    return from;
}

bool is_sha256_at(std::string_view bytes, std::size_t from)
{
    constexpr std::string_view algorithm = "sha256:";
    if (from < algorithm.size() || bytes.substr(from - algorithm.size(), algorithm.size()) != algorithm) {
        return false;
    }
    const std::string_view digits = bytes.substr(from, 64);
    return digits.size() == 64 && std::all_of(digits.begin(), digits.end(),
                                              [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

}  // namespace buildkit_lb::buildkit
