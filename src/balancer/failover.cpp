#include "balancer/failover.hpp"

#include <algorithm>

namespace buildkit_lb::balancer {
namespace {

std::string join(const std::vector<std::string>& names)
{
    std::string text;
    for (const auto& name : names) {
        text += (text.empty() ? "" : ", ") + name;
    }
    return text;
}

}  // namespace

std::string_view describe(unrepeatable what)
{
    switch (what) {
        case unrepeatable::over_limit: return "it is larger than failover.record";
        case unrepeatable::called_elsewhere: return "its calls come over several connections";
        case unrepeatable::unknown_call: return "its client has made a call that this version does not know";
        case unrepeatable::container: return "its client has run a container on the lost worker";
        case unrepeatable::upload:
            return "its client has sent what can be read only once, such as a context from stdin";
        case unrepeatable::session_gone: break;
    }
    return "a session that it needs has ended";
}

std::string_view to_string(failover::outcome what)
{
    switch (what) {
        case failover::outcome::restarted: return "restarted";
        case failover::outcome::exhausted: return "exhausted";
        case failover::outcome::refused: return "refused";
        case failover::outcome::none: break;
    }
    return "none";
}

void failover::note(unrepeatable what)
{
    if (!noted_) {
        noted_ = what;
    }
}

failover::decision failover::lost(const std::string& worker, std::string_view detail, const moment& now)
{
    return now.client_left ? decision{} : decide(worker, detail, now);
}

failover::decision failover::answered(const std::string& worker, bool cancelled, const moment& now)
{
    // With a session gone, its client is about to leave and the worker may have noticed first.
    if (settings_.attempts == 0 || !cancelled || now.client_left || now.client_failed || now.session_gone) {
        return {};
    }
    return decide(worker, "it cancelled the build", now);
}

std::optional<unrepeatable> failover::reason(const moment& now) const
{
    if (noted_) {
        return noted_;
    }
    if (now.uploaded) {
        return unrepeatable::upload;
    }
    if (now.session_gone) {
        return unrepeatable::session_gone;
    }
    return std::nullopt;
}

failover::decision failover::decide(const std::string& worker, std::string_view detail, const moment& now)
{
    lost_.push_back(worker);
    std::string why = "worker " + worker + " was lost" + (detail.empty() ? "" : ": " + std::string{detail});
    if (settings_.attempts == 0) {
        return {verdict::fail, outcome::refused, std::move(why)};
    }
    if (const auto reason_not = reason(now)) {
        why += "; the build can't start again elsewhere: " + std::string{describe(*reason_not)};
        return {verdict::fail, outcome::refused, std::move(why)};
    }
    if (restarts_ >= settings_.attempts) {
        why += "; the build has lost " + std::to_string(lost_.size()) + " workers (" + join(lost_) +
               ") and does not start again (failover.attempts: " + std::to_string(settings_.attempts) +
               "): it may be what they fail of";
        return {verdict::fail, outcome::exhausted, std::move(why)};
    }
    ++restarts_;
    return {verdict::restart, outcome::restarted, std::move(why)};
}

}  // namespace buildkit_lb::balancer
