#include "ctl/commands.hpp"

#include <nlohmann/json.hpp>
#include <optional>
#include <ostream>

#include "ctl/admin_address.hpp"
#include "ctl/status_table.hpp"

namespace buildkit_lb::ctl {
namespace {

using nlohmann::ordered_json;
using namespace std::chrono_literals;

// How much later than the end of a wait its answer may come.
constexpr auto answer_patience = 30s;

constexpr unsigned unauthorized = 401;
constexpr unsigned gateway_timeout = 504;

/// The document of an answer; nullopt with the reason written when there is none. Errors that the server explains are
/// documents too.
std::optional<ordered_json> read_document(const checked<admin_answer>& got, console to)
{
    if (!got) {
        to.err << "buildkit-lb: " << got.error().text << "\n";
        return std::nullopt;
    }
    auto document = ordered_json::parse(got->body, nullptr, false);
    if (!document.is_object()) {
        to.err << "buildkit-lb: the answer (status " << got->status
               << ") is none of a buildkit-lb admin server: is the address right?\n";
        return std::nullopt;
    }
    return document;
}

/// The document of an answer that went well.
std::optional<ordered_json> ask(const admin_server& server, const admin_call& call, console to,
                                unsigned* status = nullptr)
{
    const auto got = server(call);
    auto document = read_document(got, to);
    if (!document) {
        return std::nullopt;
    }
    if (status != nullptr) {
        *status = got->status;
    }
    if (got->status == 200) {
        return document;
    }
    to.err << "buildkit-lb: " << printable(document->value("error", "status " + std::to_string(got->status)))
           << (got->status == unauthorized ? "; give it with --token-file or in BUILDKIT_LB_TOKEN" : "") << "\n";
    return std::nullopt;
}

std::string worker_target(const std::string& worker, std::string_view action, const std::string& pool)
{
    std::string target = "/api/v1/workers/" + percent_encoded(worker) + "/" + std::string{action};
    if (!pool.empty()) {
        target += "?pool=" + percent_encoded(pool);
    }
    return target;
}

std::string builds_on(const ordered_json& answer)
{
    const auto builds = answer.value("active_builds", 0U);
    const auto internal = answer.value("internal_builds", 0U);
    const auto counted = [](unsigned number, const std::string& what) {
        return std::to_string(number) + " " + what + (number == 1 ? "" : "s");
    };
    if (builds == 0 && internal == 0) {
        return "no build is on it";
    }
    std::string text = builds != 0 ? counted(builds, "build") : "";
    if (internal != 0) {
        text += (text.empty() ? "" : " and ") + counted(internal, "internal build");
    }
    return text + (builds + internal == 1 ? " is on it" : " are on it");
}

}  // namespace

int status(const admin_server& server, bool json, console to)
{
    admin_call call;
    call.target = "/api/v1/pools";
    const auto pools = ask(server, call, to);
    call.target = "/api/v1/workers";
    const auto workers = pools ? ask(server, call, to) : std::nullopt;
    if (!workers) {
        return failed;
    }
    const auto list = [](const ordered_json& of, const char* name) {
        const auto found = of.find(name);
        return found != of.end() && found->is_array() ? *found : ordered_json::array();
    };
    const ordered_json all{{"pools", list(*pools, "pools")}, {"workers", list(*workers, "workers")}};
    if (json) {
        to.out << all.dump(2) << "\n";
        return ok;
    }
    try {
        to.out << status_table(all);
    } catch (const ordered_json::exception& e) {
        to.err << "buildkit-lb: the answer is of another version of the admin server: " << e.what() << "\n";
        return failed;
    }
    return ok;
}

int drain(const admin_server& server, const drain_options& options, console to)
{
    admin_call call;
    call.method = "POST";
    call.target = worker_target(options.worker, "drain", options.pool);
    const auto begun = ask(server, call, to);
    if (!begun) {
        return failed;
    }
    to.out << options.worker << " is draining; " << builds_on(*begun) << std::endl;  // at once: the wait may be long
    if (!options.wait) {
        return ok;
    }
    call.target += (options.pool.empty() ? "?" : "&") + std::string{"wait=1&timeout="} +
                   std::to_string(options.timeout.count()) + "ms";
    call.timeout = options.timeout + answer_patience;
    unsigned status = 0;
    if (!ask(server, call, to, &status)) {
        return status == gateway_timeout ? timed_out : failed;
    }
    to.out << options.worker << " is drained\n";
    return ok;
}

int undrain(const admin_server& server, const std::string& worker, const std::string& pool, console to)
{
    admin_call call;
    call.method = "POST";
    call.target = worker_target(worker, "undrain", pool);
    if (!ask(server, call, to)) {
        return failed;
    }
    to.out << worker << " takes builds again\n";
    return ok;
}

}  // namespace buildkit_lb::ctl
