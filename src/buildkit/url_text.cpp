#include "buildkit/url_text.hpp"

#include <algorithm>
#include <array>
#include <cctype>

#include "core/text.hpp"

namespace buildkit_lb::buildkit {
namespace {

constexpr std::string_view scheme_end = "://";
constexpr std::string_view digits = "0123456789";

struct known_scheme {
    std::string_view name;
    std::string_view default_port;
    bool keeps_port;
};
constexpr std::array<known_scheme, 6> schemes{{{"https", "443", true},
                                               {"http", "80", true},
                                               {"ssh", "22", false},
                                               {"git+ssh", "22", false},
                                               {"git", "9418", false},
                                               {"file", "", false}}};

bool is_scheme_char(char c)
{
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '+' || c == '-' || c == '.';
}

std::string_view without_user(std::string_view authority)
{
    return authority.substr(authority.rfind('@') + 1);  // npos + 1 is 0
}

std::string_view authority_of(std::string_view after_scheme)
{
    return after_scheme.substr(0, after_scheme.find_first_of("/?#"));
}

/// Where the port of an authority without user begins (its colon), or npos. A colon within brackets is an address's.
std::size_t port_at(std::string_view authority)
{
    const auto colon = authority.rfind(':');
    const auto bracket = authority.rfind(']');
    return colon != std::string_view::npos && bracket != std::string_view::npos && bracket > colon
               ? std::string_view::npos
               : colon;
}

bool port_is_one(std::string_view authority)
{
    const auto at = port_at(authority);
    if (at == std::string_view::npos) {
        return true;
    }
    const std::string_view host = authority.substr(0, at);
    return authority.find_first_not_of(digits, at + 1) == std::string_view::npos &&
           (host.find(':') == std::string_view::npos || host.ends_with(']'));
}

std::string_view bare_path(std::string_view path)
{
    constexpr std::string_view suffix = ".git";
    while (path.starts_with('/')) {
        path.remove_prefix(1);
    }
    while (path.ends_with('/') || path.ends_with(suffix)) {
        path.remove_suffix(path.ends_with('/') ? 1 : suffix.size());
    }
    return path;
}

std::string joined(std::string_view host, std::string_view path)
{
    path = bare_path(path);
    std::string out = lower_case(host);
    if (!path.empty()) {
        out += '/';
        out += path;
    }
    return out;
}

/// `user@host:path` and `host:path`, as git takes them for ssh; empty when it is neither.
std::string from_scp(std::string_view text, bool needs_user)
{
    const auto slash = std::min(text.find('/'), text.size());
    const auto at = text.substr(0, slash).rfind('@');
    const auto colon = text.find(':', at == std::string_view::npos ? 0 : at);
    if ((needs_user && at == std::string_view::npos) || colon == std::string_view::npos || colon > slash ||
        colon + 1 == text.size()) {
        return {};
    }
    const std::string_view host = without_user(text.substr(0, colon));
    // One letter is a drive of Windows.
    return host.size() < 2 ? std::string{} : joined(host, text.substr(colon + 1));
}

std::string_view without_query(std::string_view url)
{
    return url.substr(0, url.find_first_of("#?"));
}

}  // namespace

std::string normalized_url(std::string_view url)
{
    url = without_query(url);
    const auto end = url.find(scheme_end);
    if (end == std::string_view::npos) {
        return from_scp(url, true);
    }
    const std::string name = lower_case(url.substr(0, end));
    const auto scheme =
        std::find_if(schemes.begin(), schemes.end(), [&](const known_scheme& s) { return s.name == name; });
    if (scheme == schemes.end()) {
        return {};
    }
    url.remove_prefix(end + scheme_end.size());
    const auto slash = std::min(url.find('/'), url.size());
    std::string_view host = without_user(url.substr(0, slash));
    if (!port_is_one(host)) {
        return {};
    }
    const auto port = std::min(port_at(host), host.size());
    const std::string_view number = host.substr(std::min(port + 1, host.size()));
    if (!scheme->keeps_port || number.empty() || number == scheme->default_port) {
        host = host.substr(0, port);
    }
    const std::string_view path = url.substr(slash);
    return bare_path(path).empty() ? lower_case(host) : joined(host, path);
}

std::string normalized_remote(std::string_view remote)
{
    if (std::string key = normalized_url(remote); !key.empty()) {
        return key;
    }
    if (remote.find(scheme_end) != std::string_view::npos) {
        return without_credentials(remote);
    }
    remote = without_query(remote);
    if (std::string key = from_scp(remote, false); !key.empty()) {
        return key;
    }
    // A path. What is before an @ in its first part is dropped: it may be a URL that lacks its scheme.
    const auto slash = std::min(remote.find('/'), remote.size());
    const std::string_view first = without_user(remote.substr(0, slash));
    return joined(first, remote.substr(slash));
}

std::string without_credentials(std::string_view text)
{
    std::string out;
    for (;;) {
        const auto found = text.find(scheme_end);
        if (found == std::string_view::npos) {
            return out.append(text);
        }
        out += text.substr(0, found + scheme_end.size());
        text.remove_prefix(found + scheme_end.size());
        if (found == 0 || !is_scheme_char(out[out.size() - scheme_end.size() - 1])) {
            continue;
        }
        const std::string_view whole = text.substr(0, text.find_first_of(" \t\r\n\"'`<>"));
        text.remove_prefix(whole.size());
        std::string_view shown = whole;
        shown = shown.substr(authority_of(shown).rfind('@') + 1);  // npos + 1 is 0
        if (!port_is_one(authority_of(shown))) {
            // A password with a slash, unescaped; the user may have had an @ of its own.
            shown = without_user(shown);
        }
        const std::string_view bare = without_query(shown);
        out += bare;
        // Punctuation that closed the text around the URL.
        if (bare.size() != shown.size()) {
            const auto last = whole.find_last_not_of(":,;.)]}");
            out += last == std::string_view::npos ? std::string_view{} : whole.substr(last + 1);
        }
    }
}

}  // namespace buildkit_lb::buildkit
