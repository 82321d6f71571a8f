#include "app/run.hpp"

#include <csignal>
#include <cstdlib>
#include <optional>
#include <sys/resource.h>
#include <utility>

#include "app/application.hpp"
#include "app/privileges.hpp"
#include "core/log.hpp"

namespace buildkit_lb::app {
namespace {

/// As many descriptors as the process may have: each connection takes two or more.
void raise_descriptor_limit()
{
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        ::setrlimit(RLIMIT_NOFILE, &limit);
    }
}

}  // namespace

int run(const config::load_result& loaded, const std::string& config_file)
{
    const config::root& settings = loaded.value;
    log::configure(settings.log.level, settings.log.format);
    raise_descriptor_limit();
    std::signal(SIGPIPE, SIG_IGN);
    // Probes are to find a worker's name where real traffic finds it, in the system's resolver. gRPC has this option in
    // the environment only; there are no threads yet.
    ::setenv("GRPC_DNS_RESOLVER", "native", 0);
    std::optional<identity> user;
    if (!settings.user.empty()) {
        user = find_identity(settings.user);
        renounce_privileges();
    }
    log::info("starting", {{"version", BUILDKIT_LB_VERSION}, {"config", config_file}});
    application everything{loaded, config_file, passed_sockets::from_environment(), service_manager::from_environment(),
                           std::move(user)};
    constexpr int cut_connections = 3;
    return everything.run() ? 0 : cut_connections;
}

}  // namespace buildkit_lb::app
