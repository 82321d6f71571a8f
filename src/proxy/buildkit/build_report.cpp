#include "proxy/buildkit/build_report.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "buildkit/url_text.hpp"
#include "core/log.hpp"

namespace buildkit_lb::proxy {

using buildkit::grpc_code;

namespace {

// Of an error, in the log and for people.
constexpr std::size_t longest_error = 512;

metrics::build_result result_of(const call::ending& how)
{
    if (how.code == grpc_code::ok) {
        return metrics::build_result::ok;
    }
    return how.client_gone || how.code == grpc_code::cancelled ? metrics::build_result::canceled
                                                               : metrics::build_result::error;
}

double seconds(duration d)
{
    return std::chrono::duration<double>(d).count();
}

}  // namespace

void report(buildkit_service& service, const build_record& r, const call::ending& how, duration took)
{
    const auto totals = r.totals();
    const auto place = r.place().value_or(build_place{});
    const auto lost = r.lost_workers();
    const std::string& pool = service.shared.pool.workers->name();
    if (!r.internal && !place.worker.empty()) {
        service.instruments.build_ended(pool, place.worker, result_of(how), took);
        service.instruments.steps_completed(pool, place.worker, totals.cached, totals.executed);
        if (how.code == grpc_code::ok && totals.completed != 0) {
            service.shared.pool.workers->build_succeeded(
                r.key, place.worker, static_cast<double>(totals.cached) / totals.completed, clock::now());
        }
    }
    std::vector<log::field> line{
        {"ref", r.ref},
        {"pool", pool},
        {"worker", place.worker},
        {"policy", place.policy},
        {"reason", place.reason},
        {"internal", r.internal},
        {"linked", r.linked},
        {"key", r.key},
        {"key_source", r.key_source},
        {"sessions", r.sessions},
        {"waited", fmt::format("{:.3f}s", seconds(r.first_placed().value_or(r.arrived) - r.arrived))},
        {"duration", fmt::format("{:.3f}s", seconds(took))},
        {"steps", totals.completed},
        {"cached", totals.cached},
        {"result", metrics::to_string(result_of(how))},
        {"code", buildkit::name(how.code)}};
    auto summary = r.summary(pool, clock::now());
    const std::string error = buildkit::without_credentials(how.message).substr(0, longest_error);
    if (!lost.empty()) {
        line.emplace_back("attempts", summary.attempts);
        line.emplace_back("lost_workers", fmt::format("{}", fmt::join(lost, ",")));
    }
    if (!error.empty()) {
        line.emplace_back("error", error);
    }
    if (!r.client.empty()) {
        line.emplace_back("client", r.client);
    }
    if (!r.tls_client.empty()) {
        line.emplace_back("tls_client", r.tls_client);
    }
    summary.state = balancer::build_summary::stage::ended;
    summary.worker = place.worker;
    summary.policy = place.policy;
    summary.reason = place.reason;
    summary.took = took;
    summary.result = metrics::to_string(result_of(how));
    summary.code = buildkit::name(how.code);
    summary.error = error;
    service.shared.builds.ended(r, std::move(summary));
    log::write(r.internal ? log::level::debug : log::level::info, "build ended", line);
}

}  // namespace buildkit_lb::proxy
