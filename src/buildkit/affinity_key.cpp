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

bool is_refinement(std::string_view source)
{
    return source == "vcs:localdir:context" || source == "target" || source == "platform";
}

std::string value_of(const std::string& source, const solve_info& build, const key_surroundings& around)
{
    if (source == "shared-key") {
        return std::string{around.shared_key.substr(0, around.shared_key.rfind(':'))};
    }
    if (source == "source-ip") {
        return std::string{around.source_ip};
    }
    if (source == "authority") {
        return dialled_host(around.authority);
    }
    return from_attribute(build, source);
}

}  // namespace

std::string dialled_host(std::string_view authority)
{
    const auto colon = authority.rfind(':');
    const bool port = colon != std::string_view::npos &&
                      authority.find_first_not_of("0123456789", colon + 1) == std::string_view::npos &&
                      (authority.find(':') == colon || authority.starts_with('['));
    std::string host = lower(port ? authority.substr(0, colon) : authority);
    return host == "localhost" ? std::string{} : host;
}

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

affinity_key find_affinity_key(const solve_info& build, const key_surroundings& around,
                               const std::vector<std::string>& sources)
{
    affinity_key key;
    std::string finer;
    for (const auto& source : sources) {
        if (is_refinement(source)) {
            if (const auto value = build.attr(source); !value.empty()) {
                finer += " " + source + "=" + std::string{value};
            }
        } else if (key.value.empty()) {
            key.value = value_of(source, build, around);
            key.source = key.value.empty() ? std::string{} : source;
        }
    }
    if (!key.value.empty()) {
        key.value.resize(std::min(key.value.size(), max_key));
        key.value += finer.substr(0, max_key);
    }
    return key;
}

const std::vector<std::string>& default_key_sources()
{
    static const std::vector<std::string> sources{"build-arg:BUILDKIT_LB_KEY", "vcs:source", "context", "shared-key"};
    return sources;
}

}  // namespace buildkit_lb::buildkit
