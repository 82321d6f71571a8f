#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace buildkit_lb::buildkit {

/// The characters of session ids: BuildKit makes them 25 characters long, base 36.
constexpr bool is_session_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/// The end of the run of session characters that begins at `from`.
std::size_t session_run_end(std::string_view bytes, std::size_t from);

/// True if a sha256 digest's 64 hex digits begin at `from`: no id can begin among the first of them, and a request is
/// full of them.
bool is_sha256_at(std::string_view bytes, std::size_t from);

/// Finds every known session id in the bytes of a request, wherever it is written, without knowing the request's shape.
///
/// `lengths` are the lengths that known ids have (normally the one number 25; zero is ignored) and `known` says whether
/// a text is one of them. Every window of such a length in a run of session characters is asked for, because the bytes
/// around an id (lengths and tags of protobuf) may look like letters. At most one call of `known` for
/// each byte and length. Ids come out once each, in order of appearance. Pure; any thread.
template <class Known>
std::vector<std::string> find_sessions(std::string_view bytes, const std::vector<std::size_t>& lengths, Known&& known)
{
    std::vector<std::string> found;
    std::size_t shortest = 0;
    for (const std::size_t length : lengths) {
        shortest = shortest == 0 ? length : std::min(shortest, length == 0 ? shortest : length);
    }
    if (shortest == 0) {
        return found;
    }
    for (std::size_t begin = 0; begin < bytes.size();) {
        if (!is_session_char(bytes[begin])) {
            ++begin;
            continue;
        }
        const std::size_t end = session_run_end(bytes, begin);
        if (is_sha256_at(bytes, begin)) {
            begin += 64;
        }
        for (; begin + shortest <= end; ++begin) {
            for (const std::size_t length : lengths) {
                const std::string_view window = bytes.substr(begin, length);
                if (length == 0 || begin + length > end || !known(window)) {
                    continue;
                }
                if (std::find(found.begin(), found.end(), window) == found.end()) {
                    found.emplace_back(window);
                }
            }
        }
        begin = end;
    }
    return found;
}

}  // namespace buildkit_lb::buildkit
