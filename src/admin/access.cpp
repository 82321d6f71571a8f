#include "admin/access.hpp"

#include <algorithm>
#include <openssl/crypto.h>

#include "core/endpoint.hpp"
#include "core/ip_address.hpp"
#include "core/text.hpp"

namespace buildkit_lb::admin {
namespace {

bool equal_ignoring_case(std::string_view a, std::string_view b)
{
    return lower_case(a) == lower_case(b);
}

response unauthorized(std::string_view error, std::string_view message)
{
    response answer = error_response(401, message);
    answer.authenticate = R"(Bearer realm="buildkit-lb")";
    if (!error.empty()) {
        answer.authenticate += R"(, error=")" + std::string{error} + "\"";
    }
    return answer;
}

bool is_reading(const request& incoming)
{
    return incoming.method == "GET" || incoming.method == "HEAD";
}

/// Somebody follows a link to us from another site: the page is his to see, and no script reads it.
bool is_link(const request& incoming)
{
    return is_reading(incoming) && incoming.header("sec-fetch-mode") == "navigate" &&
           incoming.header("sec-fetch-dest") == "document";
}

/// The page of an Origin header is one of the server that a Host header names. Where TLS ends before us its scheme is
/// another one.
bool same_origin(std::string_view origin, std::string_view host)
{
    const auto scheme = origin.find("://");
    return scheme != origin.npos && equal_ignoring_case(origin.substr(scheme + 3), host);
}

/// What a Host header names without its port.
std::string_view without_port(std::string_view host)
{
    if (host.starts_with('[')) {
        const auto close = host.find(']');
        return close == std::string_view::npos ? std::string_view{} : host.substr(1, close - 1);
    }
    return host.substr(0, host.find(':'));
}

}  // namespace

bool equal_secrets(std::string_view a, std::string_view b)
{
    return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

access_rules::reach access_rules::reach_of(const endpoint& address)
{
    if (address.type == endpoint::kind::unix_socket) {
        return reach::unix_socket;
    }
    return address.is_loopback() ? reach::loopback : reach::network;
}

std::optional<response> access_rules::refuse(const request& incoming) const
{
    if (has_token(incoming)) {
        return std::nullopt;  // which no browser adds by itself
    }
    if (auto refused = check_site(incoming)) {
        return refused;
    }
    return is_reading(incoming) ? std::nullopt : check_change(incoming);
}

bool access_rules::has_token(const request& incoming) const
{
    return !token_.empty() && !check_token(incoming);
}

std::optional<response> access_rules::check_change(const request& incoming) const
{
    if (!token_.empty()) {
        return check_token(incoming);
    }
    if (reach_ == reach::network) {
        return error_response(403, "calls that change something need admin.token_file in the configuration");
    }
    return std::nullopt;
}

std::optional<response> access_rules::check_token(const request& incoming) const
{
    constexpr std::string_view scheme = "Bearer ";
    const std::string_view given = incoming.header("authorization");
    if (given.empty()) {
        return unauthorized("", "this call needs the token of admin.token_file, in a header Authorization: Bearer …");
    }
    if (!equal_ignoring_case(given.substr(0, scheme.size()), scheme)) {
        return unauthorized("invalid_request", "the Authorization header is not Bearer and a token");
    }
    std::string_view token = given.substr(scheme.size());
    token.remove_prefix(std::min(token.find_first_not_of(' '), token.size()));
    if (!equal_secrets(token, token_)) {
        return unauthorized("invalid_token", "that is not the token of admin.token_file");
    }
    return std::nullopt;
}

std::optional<response> access_rules::check_site(const request& incoming) const
{
    const std::string_view origin = incoming.header("origin");
    const std::string_view site = incoming.header("sec-fetch-site");
    const std::string_view host = incoming.header("host");
    const bool elsewhere = !site.empty() && site != "same-origin" && site != "none";
    if ((elsewhere && !is_link(incoming)) || (!origin.empty() && !same_origin(origin, host))) {
        return error_response(403, "a page of another site gets no answer");
    }
    // A name of somebody else's that leads to this machine (DNS rebinding) makes his page one of ours. With whatever
    // changes something browsers send where it comes from; reading they don't tell from what a program does.
    if ((is_reading(incoming) || !origin.empty()) && !is_ours(host)) {
        return error_response(403, "call this server by an address, localhost, or a name of admin.hosts");
    }
    return std::nullopt;
}

bool access_rules::is_ours(std::string_view host) const
{
    const std::string name = lower_case(without_port(host));
    endpoint dialled;
    dialled.host = name;
    // Of an address nobody is led astray.
    if (host.empty() || dialled.is_loopback() || parse_ip(name)) {
        return true;
    }
    if (hosts_.empty()) {
        return reach_ != reach::loopback;
    }
    return std::any_of(hosts_.begin(), hosts_.end(), [&](std::string_view h) { return host_matches(name, h); });
}

}  // namespace buildkit_lb::admin
