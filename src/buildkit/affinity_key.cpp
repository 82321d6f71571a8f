#include "buildkit/affinity_key.hpp"

#include <algorithm>

#include "buildkit/place_words.hpp"
#include "buildkit/url_text.hpp"
#include "core/text.hpp"

namespace buildkit_lb::buildkit {
namespace {

// Longer values would only cost memory: what is left out makes no two projects one.
constexpr std::size_t max_key = 512;  // characters

// A tarball on the client's stdin is offered to the worker under a URL of this host, with another path each time.
constexpr std::string_view uploads = "buildkit-session";

// buildx v0.13 makes such a directory, with digits behind, where a build has no context of its own.
constexpr std::string_view empty_directory = "empty-dir";

std::string context_of(const solve_info& build)
{
    // buildx leaves the URL under the second name when it takes the context itself and hands on what is in it.
    for (const std::string_view attribute : {"context", "input:context"}) {
        std::string key = normalized_url(build.attr(attribute));
        if (!key.empty() && key.substr(0, key.find('/')) != uploads) {
            return key;
        }
    }
    return normalized_url(build.remote_source);
}

std::string from_shared_key(std::string_view shared_key)
{
    const std::string_view directory = shared_key.substr(0, shared_key.rfind(':'));
    const bool made_up = directory.starts_with(empty_directory) &&
                         directory.find_first_not_of("0123456789", empty_directory.size()) == std::string_view::npos;
    return made_up ? std::string{} : std::string{directory};
}

std::string from_attribute(std::string_view value)
{
    // What a user gives may be a URL too, such as the one a CI system has the repository's token in.
    std::string key = normalized_url(value);
    return key.empty() ? without_credentials(value) : key;
}

bool is_refinement(std::string_view source)
{
    return source == "vcs:localdir:context" || source == "target" || source == "platform";
}

std::string value_of(const std::string& source, const solve_info& build, const key_surroundings& around)
{
    if (source == "context") {
        return context_of(build);
    }
    if (source == "vcs:source") {
        return normalized_remote(build.attr(source));
    }
    if (source == "shared-key") {
        return from_shared_key(around.shared_key);
    }
    if (source == "source-ip") {
        return std::string{around.source_ip};
    }
    if (source == "authority") {
        return dialled_host(around.authority);
    }
    if (source == "tls-client") {
        return std::string{around.tls_client};
    }
    return from_attribute(build.attr(source));
}

}  // namespace

std::string dialled_host(std::string_view authority)
{
    const auto colon = authority.rfind(':');
    const bool port = colon != std::string_view::npos &&
                      authority.find_first_not_of("0123456789", colon + 1) == std::string_view::npos &&
                      (authority.find(':') == colon || authority.starts_with('['));
    std::string host = lower_case(port ? authority.substr(0, colon) : authority);
    return host == "localhost" ? std::string{} : host;
}

affinity_key find_affinity_key(const solve_info& build, const key_surroundings& around,
                               const std::vector<std::string>& sources)
{
    affinity_key key;
    std::string finer;
    for (const auto& source : sources) {
        if (is_refinement(source)) {
            if (const auto value = build.attr(source); !value.empty()) {
                finer += " " + source + "=" + without_credentials(value);
            }
        } else if (key.value.empty()) {
            key.value = value_of(source, build, around);
            key.source = key.value.empty() ? std::string{} : source;
        }
    }
    if (!key.value.empty()) {
        key.value = printable(key.value, max_key) + printable(finer, max_key);
    }
    return key;
}

const std::vector<std::string>& default_key_sources()
{
    static const std::vector<std::string> sources{"build-arg:BUILDKIT_LB_KEY", "vcs:source", "context", "shared-key"};
    return sources;
}

}  // namespace buildkit_lb::buildkit
