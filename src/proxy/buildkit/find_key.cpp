#include "proxy/buildkit/find_key.hpp"

#include <algorithm>

#include "core/event.hpp"
#include "proxy/buildkit/connection.hpp"

namespace buildkit_lb::proxy {

namespace asio = boost::asio;
using namespace std::chrono_literals;

namespace {

// All of a build's calls are started at the same moment, but the client's machine may be busy.
constexpr auto patience = 1s;

}  // namespace

asio::awaitable<void> find_key(call& solve, buildkit::solve_info& info, running_build& build)
{
    auto& connection = solve.connection();
    const auto& service = connection.service();
    auto& shared = service.shared;
    const auto& sources = service.key_sources;
    const auto until = clock::now() + patience;
    const auto look = [&] {
        const std::string shared_key = shared.sessions.shared_key_of(info.sessions);
        const std::string host = connection.dialled_host(solve.headers().get(":authority"));
        return buildkit::find_affinity_key(info, {shared_key, connection.peer(), host, connection.certificate()},
                                           sources);
    };
    buildkit::affinity_key key = look();
    // What would win over the key that is known, or is the only one, may still be on its way.
    const auto may_come = [&](std::string_view source) {
        const auto at = std::find(sources.begin(), sources.end(), source);
        return at != sources.end() && at < std::find(sources.begin(), sources.end(), key.source);
    };
    // A client's own build never waits: the client may hold it open while its real build waits for it.
    if (!info.internal && may_come("shared-key")) {
        for (const std::string& uuid : info.sessions) {
            one_shot<bool> here{connection.executor()};
            if (shared.sessions.here_or(uuid, clock::now(), here.setter())) {
                continue;
            }
            if (const auto came = co_await here.wait(until); !came) {
                break;
            }
        }
        key = look();
    }
    // A build with a shared key has a directory, and its definition comes from a frontend.
    const bool may_be_raw = info.frontend.empty() && info.remote_source.empty() && key.source != "shared-key";
    if (!info.internal && service.routes_by_key && may_be_raw && may_come("context")) {
        one_shot<std::string> source{connection.executor()};
        shared.placement.find_source(info.ref, source.setter());
        if (auto told = co_await source.wait(until)) {
            info.remote_source = std::move(*told);
            key = look();
        }
    }
    build.record->key = std::move(key.value);
    build.record->key_source = std::move(key.source);
    build.record->key_is_known();
}

}  // namespace buildkit_lb::proxy
