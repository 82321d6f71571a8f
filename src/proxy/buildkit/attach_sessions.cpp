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

asio::awaitable<std::size_t> attach_sessions(buildkit_connection& connection, std::vector<std::string> sessions,
                                             std::shared_ptr<balancer::worker> where)
{
    const auto now = clock::now();
    std::vector<one_shot<bool>> offers;
    offers.reserve(sessions.size());
    for (const auto& uuid : sessions) {
        offers.emplace_back(connection.executor());
        connection.service().shared.sessions.attach(uuid, where, now, offers.back().setter());
    }
    std::size_t attached = 0;
    for (auto& offer : offers) {
        const auto has = co_await offer.wait(now + attach_time);
        attached += has.value_or(false) ? 1U : 0U;
    }
    co_return attached;
}

buildkit::grpc_code grpc_code_of(const failure& why)
{
    switch (why.code) {
        case errc::too_many:
        case errc::too_large: return buildkit::grpc_code::resource_exhausted;
        case errc::canceled: return buildkit::grpc_code::cancelled;
        case errc::internal: return buildkit::grpc_code::internal;
        default: return buildkit::grpc_code::unavailable;
    }
}

}  // namespace buildkit_lb::proxy
