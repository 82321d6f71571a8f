#include <string>
#include <vector>

#include "buildkit/affinity_key.hpp"
#include "buildkit/place_words.hpp"
#include "buildkit/url_text.hpp"
#include "core/text.hpp"
#include "support/input.hpp"
#include "support/require.hpp"
#include "support/targets.hpp"

namespace buildkit_lb::fuzz {
namespace {

using namespace buildkit;

constexpr std::string_view secret = "Zq7sEcReT";

bool shows_secret(const std::string& text)
{
    return text.find(secret) != std::string::npos || text.find("zq7secret") != std::string::npos;
}

bool is_printable(const std::string& text)
{
    for (const char c : text) {
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
            return false;
        }
    }
    return true;
}

affinity_key key_of(const std::string& source, std::string_view value)
{
    solve_info build;
    build.attrs.emplace(source, value);
    build.attrs.emplace("target", value);
    return find_affinity_key(build, {}, {source, "target"});
}

/// What holds for every text.
void check_text(std::string_view text)
{
    const std::string shown = without_credentials(text);
    require(without_credentials(shown) == shown, "what has no credentials stays as it is");
    require(shown.size() <= text.size(), "leaving credentials out makes no text longer");
    const std::string url = normalized_url(text);
    require(url.empty() || normalized_url("https://" + url) == url || text.substr(0, 8) != "https://",
            "a normalised URL is normal");
    require(normalized_remote(text).size() <= text.size() + 1, "normalising makes no URL longer");
    for (const char* source : {"vcs:source", "context", "build-arg:X"}) {
        const affinity_key key = key_of(source, text);
        require(is_printable(key.value), "keys can be shown");
        require(key.value.empty() == key.source.empty(), "a key has a source");
        require(key_of(source, text).value == key.value, "the same build has the same key");
    }
    require(is_printable(place_words("cache-affinity", "home", text, "context")), "reasons can be shown");
    dialled_host(text);
}

/// A text of the characters that can stand in a user, password or host as they are.
std::string part(std::string_view from)
{
    std::string out;
    for (const char c : from) {
        if (std::string_view{"/?#@ \t\r\n\"'`<>"}.find(c) == std::string_view::npos) {
            out += c;
        }
    }
    return out;
}

/// A URL with a secret where credentials stand: nothing that is kept or shown has it.
void check_secret(fuzz_input& script)
{
    constexpr std::string_view schemes[] = {"https", "http", "ssh", "git+ssh", "git", "HTTPS", "ftp", "oci"};
    const std::size_t how = script.byte();
    const std::string scheme{schemes[script.below(std::size(schemes))]};
    const std::string user = part(script.piece());
    const std::string more = part(script.piece());
    const std::string host = part(script.piece());
    const std::string path = std::string{script.piece()};
    const std::string plain = part(path);
    const std::string word{secret};
    if (shows_secret(lower_case(user + ' ' + more + ' ' + host + ' ' + path + ' ' + plain))) {
        return;  // the input has it elsewhere too
    }
    std::string url = scheme + "://";
    switch (how % 4) {
        case 0: url += user + ":" + word + more + "@" + host + "/" + path; break;
        case 1: url += word + more + "@" + host + "/" + path; break;
        case 2: url += host + "/" + plain + "?" + user + "=" + word; break;
        default: url += host + "/" + plain + "#" + word; break;
    }
    require(!shows_secret(normalized_url(url)), "no credentials in a normalised URL");
    require(!shows_secret(normalized_remote(url)), "no credentials in a normalised remote");
    require(!shows_secret(without_credentials(url)), "no credentials where they are left out");
    require(!shows_secret(without_credentials("see " + url + " and")), "no credentials of a URL within a text");
    for (const char* source : {"vcs:source", "context", "build-arg:X", "label:y"}) {
        require(!shows_secret(key_of(source, url).value), "no credentials in a key");
    }
    solve_info build;
    build.remote_source = url;
    require(!shows_secret(find_affinity_key(build, {}, default_key_sources()).value), "no credentials of a source");
}

}  // namespace

void affinity(std::string_view input)
{
    fuzz_input script{input};
    if (script.below(2) == 0) {
        check_text(script.rest());
    } else {
        check_secret(script);
    }
}

}  // namespace buildkit_lb::fuzz
