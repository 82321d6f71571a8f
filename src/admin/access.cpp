#include "admin/access.hpp"

#include <algorithm>
#include <openssl/crypto.h>

#include "core/endpoint.hpp"
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

std::optional<response> access_rules::refuse(const request& incoming) const
{
    if (incoming.method == "GET" || incoming.method == "HEAD") {
        return std::nullopt;
    }
    if (!token_.empty()) {
        return check_token(incoming);
    }
    if (!loopback_) {
        return error_response(403, "calls that change something need admin.token_file in the configuration");
    }
    return check_browser(incoming);
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

std::optional<response> access_rules::check_browser(const request& incoming)
{
    constexpr std::string_view plain = "http://";
    const std::string_view origin = incoming.header("origin");
    const std::string_view site = incoming.header("sec-fetch-site");
    if (!site.empty() && site != "same-origin" && site != "none") {
        return error_response(403, "a page of another site may not make this call");
    }
    if (origin.empty()) {
        return std::nullopt;  // no browser, which sends one with every POST
    }
    const std::string_view host = incoming.header("host");
    if (!origin.starts_with(plain) || !equal_ignoring_case(origin.substr(plain.size()), host)) {
        return error_response(403, "a page of another site may not make this call");
    }
    // A name of somebody else's that leads to this machine (DNS rebinding) makes his page one of ours.
    endpoint dialled;
    dialled.host = lower_case(without_port(host));
    if (!dialled.is_loopback()) {
        return error_response(403,
                              "without admin.token_file a page may make this call under a loopback address or "
                              "localhost only");
    }
    return std::nullopt;
}

}  // namespace buildkit_lb::admin
