#include "buildkit/affinity_key.hpp"

#include <algorithm>
#include <array>
#include <cctype>

namespace buildkit_lb::buildkit {
namespace {

constexpr std::array<std::string_view, 5> schemes{"https://", "http://", "ssh://", "git://", "git+ssh://"};
constexpr std::array<std::string_view, 4> default_ports{":443", ":80", ":22", ":9418"};

// Longer values would only cost memory: what is left out makes no two projects one.
constexpr std::size_t max_key = 512;

std::string_view without_suffix(std::string_view text, std::string_view suffix)
{
    return text.ends_with(suffix) ? text.substr(0, text.size() - suffix.size()) : text;
}

std::string lower(std::string_view text)
{
    std::string out{text};
    std::transform(out.begin(), out.end(), out.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return out;
}

std::string joined(std::string_view authority, std::string_view path)
{
    if (const auto at = authority.rfind('@'); at != std::string_view::npos) {
        authority.remove_prefix(at + 1);
    }
    for (const std::string_view port : default_ports) {
        authority = without_suffix(authority, port);
    }
    while (path.starts_with('/')) {
        path.remove_prefix(1);
    }
    while (path.ends_with('/')) {
        path.remove_suffix(1);
    }
    path = without_suffix(path, ".git");
    if (authority.empty() || path.empty()) {
        return lower(authority);
    }
    return lower(authority) + "/" + std::string{path};
}

std::string from_attribute(const solve_info& build, const std::string& source)
{
    std::string_view value = build.attr(source);
    if (source == "context") {
        // Newer clients resolve a remote context themselves and leave its URL under another name.
        std::string key = normalized_url(value);
        return key.empty() ? normalized_url(build.attr("input:context")) : key;
    }
    if (source == "vcs:source") {
        std::string key = normalized_url(value);
        if (!key.empty()) {
            return key;
        }
    }
    return std::string{value};
}

}  // namespace

std::string normalized_url(std::string_view url)
{
    url = url.substr(0, url.find_first_of("#?"));
    const auto scheme = std::find_if(schemes.begin(), schemes.end(), [&](std::string_view s) {
        return url.size() > s.size() && lower(url.substr(0, s.size())) == s;
    });
    if (scheme != schemes.end()) {
        url.remove_prefix(scheme->size());
        const auto slash = std::min(url.find('/'), url.size());
        return joined(url.substr(0, slash), url.substr(slash));
    }
    // user@host:path, as git takes it
    const auto at = url.find('@');
    const auto colon = url.find(':');
    if (at != std::string_view::npos && colon != std::string_view::npos && at < colon && url.find('/') > colon) {
        return joined(url.substr(0, colon), url.substr(colon + 1));
    }
    return {};
}

affinity_key find_affinity_key(const solve_info& build, std::string_view shared_key,
                               const std::vector<std::string>& sources)
{
    for (const auto& source : sources) {
        std::string value = source == "shared-key" ? std::string{shared_key.substr(0, shared_key.rfind(':'))}
                                                   : from_attribute(build, source);
        if (!value.empty()) {
            value.resize(std::min(value.size(), max_key));
            return {std::move(value), source};
        }
    }
    return {};
}

const std::vector<std::string>& default_key_sources()
{
    static const std::vector<std::string> sources{"build-arg:BUILDKIT_LB_KEY", "vcs:source", "context", "shared-key"};
    return sources;
}

}  // namespace buildkit_lb::buildkit
