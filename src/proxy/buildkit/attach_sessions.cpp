#include "proxy/buildkit/attach_sessions.hpp"

#include "core/event.hpp"
#include "proxy/buildkit/connection.hpp"

namespace buildkit_lb::proxy {

namespace asio = boost::asio;
using namespace std::chrono_literals;

namespace {

// More than a session is waited for, and a session's own connect to a worker.
constexpr auto attach_time = 15s;

}  // namespace

asio::awaitable<result<void>> attach_sessions(buildkit_connection& connection, std::vector<std::string> sessions,
                                              std::shared_ptr<balancer::worker> where)
{
    const auto now = clock::now();
    std::vector<one_shot<attach_outcome>> offers;
    offers.reserve(sessions.size());
    for (const auto& uuid : sessions) {
        offers.emplace_back(connection.executor());
        connection.service().shared.sessions.attach(uuid, where, now, offers.back().setter());
    }
    result<void> outcome;
    for (std::size_t i = 0; i < offers.size(); ++i) {
        const auto came = co_await offers[i].wait(now + attach_time);
        switch (came.value_or(attach_outcome::unreachable)) {
            case attach_outcome::attached: break;
            case attach_outcome::absent:
                co_return failure{errc::closed, failure_source::downstream, false,
                                  "buildkit-lb: no active session for " + sessions[i]};
            case attach_outcome::unreachable:
                outcome = failure{errc::unreachable, failure_source::upstream, true,
                                  "worker " + where->name() + " did not take the session " + sessions[i]};
                break;
        }
    }
    co_return outcome;
}

buildkit::grpc_code grpc_code_of(const failure& why)
{
    switch (why.code) {
        case errc::too_many:
        case errc::too_large: return buildkit::grpc_code::resource_exhausted;
        case errc::no_match: return buildkit::grpc_code::failed_precondition;
        case errc::canceled: return buildkit::grpc_code::cancelled;
        case errc::internal: return buildkit::grpc_code::internal;
        default: return buildkit::grpc_code::unavailable;
    }
}

}  // namespace buildkit_lb::proxy
