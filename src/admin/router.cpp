#include "admin/router.hpp"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <utility>

namespace buildkit_lb::admin {

namespace asio = boost::asio;

namespace {

std::vector<std::string> split(std::string_view path)
{
    std::vector<std::string> segments;
    while (!path.empty()) {
        path.remove_prefix(1);  // the slash
        const auto end = std::min(path.find('/'), path.size());
        segments.emplace_back(path.substr(0, end));
        path.remove_prefix(end);
    }
    return segments;
}

bool matches(const std::vector<std::string>& pattern, const std::vector<std::string>& path)
{
    return std::equal(pattern.begin(), pattern.end(), path.begin(), path.end(),
                      [](const std::string& p, const std::string& s) { return p == s || (p == "*" && !s.empty()); });
}

std::optional<std::string> percent_decode(std::string_view text)
{
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '%') {
            out += text[i];
            continue;
        }
        unsigned value = 0;
        const char* digits = text.data() + i + 1;
        if (i + 2 >= text.size() || std::from_chars(digits, digits + 2, value, 16).ptr != digits + 2) {
            return std::nullopt;
        }
        out += static_cast<char>(value);
        i += 2;
    }
    return out;
}

}  // namespace

response json_response(unsigned status, const nlohmann::ordered_json& body)
{
    response answer;
    answer.status = status;
    answer.body = body.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
    return answer;
}

response error_response(unsigned status, std::string_view message)
{
    response answer;
    answer.status = status;
    const nlohmann::ordered_json body{{"error", message}};
    answer.body = body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
    return answer;
}

handler immediately(std::function<response(const request&)> answer)
{
    return [answer = std::move(answer)](const request& incoming) -> asio::awaitable<response> {
        co_return answer(incoming);
    };
}

void router::add(std::string method, std::string_view pattern, handler h)
{
    routes_.push_back(route{std::move(method), split(pattern), std::move(h)});
}

std::variant<const handler*, response> router::find(request& incoming) const
{
    // Split before anything is decoded would be stricter; no name the configuration accepts holds a slash.
    const auto path = split(incoming.path);
    std::set<std::string> allowed;
    for (const route& r : routes_) {
        if (!matches(r.segments, path)) {
            continue;
        }
        if (r.method == incoming.method) {
            incoming.parameters.clear();
            for (std::size_t i = 0; i < path.size(); ++i) {
                if (r.segments[i] == "*") {
                    incoming.parameters.push_back(path[i]);
                }
            }
            return &r.answer;
        }
        allowed.insert(r.method);
    }
    if (allowed.empty()) {
        return error_response(404, "nothing is at " + incoming.path);
    }
    if (allowed.contains("GET")) {
        allowed.insert("HEAD");
    }
    std::string list;
    for (const auto& method : allowed) {
        list += (list.empty() ? "" : ", ") + method;
    }
    response refused = error_response(405, incoming.path + " does not take " + incoming.method + ", only " + list);
    refused.allow = list;
    return refused;
}

bool parse_target(std::string_view target, request& into)
{
    const auto question = std::min(target.find('?'), target.size());
    auto path = percent_decode(target.substr(0, question));
    if (!path || !path->starts_with('/')) {
        return false;
    }
    into.path = std::move(*path);
    into.query.clear();
    std::string_view rest = target.substr(std::min(question + 1, target.size()));
    while (!rest.empty()) {
        const auto end = std::min(rest.find('&'), rest.size());
        const std::string_view pair = rest.substr(0, end);
        const auto equals = std::min(pair.find('='), pair.size());
        auto key = percent_decode(pair.substr(0, equals));
        auto value = percent_decode(pair.substr(std::min(equals + 1, pair.size())));
        if (!key || !value) {
            return false;
        }
        if (!key->empty()) {
            into.query.insert_or_assign(std::move(*key), std::move(*value));
        }
        rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    return true;
}

}  // namespace buildkit_lb::admin
