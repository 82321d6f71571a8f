#include "admin/builds.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <ctime>
#include <nlohmann/json.hpp>
#include <tuple>
#include <utility>

namespace buildkit_lb::admin {

using balancer::build_summary;
using json = nlohmann::ordered_json;

namespace {

using stage = build_summary::stage;

constexpr std::array<std::pair<stage, std::string_view>, 3> stages{
    {{stage::queued, "queued"}, {stage::active, "active"}, {stage::ended, "ended"}}};

std::string_view name_of(stage s)
{
    return std::find_if(stages.begin(), stages.end(), [&](const auto& known) { return known.first == s; })->second;
}

bool is_stage(std::string_view name)
{
    return std::any_of(stages.begin(), stages.end(), [&](const auto& known) { return known.second == name; });
}

double seconds(duration d)
{
    return std::round(std::chrono::duration<double>(d).count() * 1000) / 1000;
}

std::string utc(std::chrono::system_clock::time_point t)
{
    const std::time_t whole = std::chrono::system_clock::to_time_t(t);
    std::tm parts{};
    ::gmtime_r(&whole, &parts);
    std::array<char, 32> text{};
    return {text.data(), std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts)};
}

json describe(const build_summary& b)
{
    json about{{"ref", b.ref}, {"state", name_of(b.state)}, {"pool", b.pool}, {"invocation", b.invocation}};
    const auto add_known = [&](const char* name, const std::string& text) {
        if (!text.empty()) {
            about[name] = text;
        }
    };
    add_known("key", b.key);
    add_known("key_source", b.key_source);
    add_known("worker", b.worker);
    add_known("policy", b.policy);
    add_known("reason", b.reason);
    if (!b.lost_workers.empty()) {
        about["lost_workers"] = b.lost_workers;
    }
    about["linked"] = b.linked;
    about["arrived"] = utc(b.arrived);
    about["waited"] = seconds(b.waited);
    if (b.state == stage::queued) {
        if (b.position != 0) {
            about["position"] = b.position;
            about["length"] = b.length;
        }
        return about;
    }
    about["attempts"] = b.attempts;
    about["duration"] = seconds(b.took);
    about["steps"] = b.steps;
    about["cached"] = b.cached;
    add_known("result", b.result);
    add_known("code", b.code);
    add_known("error", b.error);
    return about;
}

}  // namespace

response builds_page(const std::vector<build_summary>& builds, const std::map<std::string, std::string>& query,
                     const std::vector<std::string>& pools)
{
    std::string_view state;
    std::string_view pool;
    for (const auto& [name, value] : query) {
        if (name == "pool" && std::find(pools.begin(), pools.end(), value) != pools.end()) {
            pool = value;
        } else if (name == "pool") {
            return error_response(404, "there is no pool " + value);
        } else if (name == "state" && is_stage(value)) {
            state = value;
        } else if (name == "state") {
            return error_response(400, "state: '" + value + "' is none; allowed: queued, active, ended");
        } else {
            return error_response(400, "there is no parameter '" + name + "'; allowed: pool, state");
        }
    }
    std::vector<const build_summary*> order;
    order.reserve(builds.size());
    for (const auto& b : builds) {
        order.push_back(&b);
    }
    std::sort(order.begin(), order.end(), [](const build_summary* a, const build_summary* b) {
        // Those that have ended stay as they are given: their addresses ascend.
        const auto rank = [](const build_summary* s) {
            const bool running = s->state != stage::ended;
            return std::tuple{s->state, s->position, running ? s->arrived : std::chrono::system_clock::time_point{}, s};
        };
        return rank(a) < rank(b);
    });
    json body{{"active", json::array()}, {"queued", json::array()}, {"recent", json::array()}};
    for (const auto* b : order) {
        if ((state.empty() || state == name_of(b->state)) && (pool.empty() || pool == b->pool)) {
            body[b->state == stage::ended ? "recent" : std::string{name_of(b->state)}].push_back(describe(*b));
        }
    }
    response answer;
    // What a client names may hold bytes that are no UTF-8.
    answer.body = body.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
    return answer;
}

void add_build_routes(router& routes, const context& about)
{
    routes.add("GET", "/api/v1/builds", immediately([&about](const request& asked) {
                   std::vector<std::string> pools;
                   for (const auto& pool : about.pools()) {
                       pools.push_back(pool->name());
                   }
                   return builds_page(about.builds ? about.builds() : std::vector<build_summary>{}, asked.query, pools);
               }));
}

}  // namespace buildkit_lb::admin
