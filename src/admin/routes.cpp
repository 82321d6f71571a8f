#include "admin/routes.hpp"

#include <nlohmann/json.hpp>
#include <utility>

#include "admin/builds.hpp"
#include "admin/workers.hpp"

namespace buildkit_lb::admin {
namespace {

response text(unsigned status, std::string body)
{
    response answer;
    answer.status = status;
    answer.content_type = "text/plain; charset=utf-8";
    answer.body = std::move(body);
    return answer;
}

response metrics_page(const context& about)
{
    response answer = text(200, about.instruments.expose());
    answer.content_type = "text/plain; version=0.0.4; charset=utf-8";
    return answer;
}

response readiness_page(const context& about)
{
    const readiness now = about.ready();
    if (now.ready) {
        return text(200, "ready\n");
    }
    std::string body = "not ready\n";
    for (const auto& reason : now.reasons) {
        body += reason + "\n";
    }
    return text(503, body);
}

}  // namespace

response reload_response(const reload_outcome& outcome)
{
    nlohmann::ordered_json body{{"reloaded", outcome.errors.empty()}};
    if (!outcome.errors.empty()) {
        body["error"] = "the configuration is bad: nothing has changed";
        body["errors"] = outcome.errors;
    } else {
        body["changes"] = outcome.changes;
        body["warnings"] = outcome.warnings;
    }
    return json_response(outcome.errors.empty() ? 200 : 422, body);
}

router make_routes(const context& about)
{
    router routes;
    const auto page = [&](std::string_view path, response (*make)(const context&)) {
        routes.add("GET", path, immediately([&about, make](const request&) { return make(about); }));
    };
    page("/metrics", metrics_page);
    page("/healthz", [](const context&) { return text(200, "ok\n"); });
    page("/readyz", readiness_page);
    add_worker_routes(routes, about);
    add_build_routes(routes, about);
    return routes;
}

}  // namespace buildkit_lb::admin
