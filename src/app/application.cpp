#include "app/application.hpp"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <iterator>
#include <malloc.h>
#include <stdexcept>

#include "core/log.hpp"
#include "metrics/collectors.hpp"
#include "metrics/process.hpp"
#include "proxy/buildkit/collector.hpp"

namespace buildkit_lb::app {

namespace asio = boost::asio;
using namespace asio::experimental::awaitable_operators;
using namespace std::chrono_literals;

namespace {

// How often held calls are looked at for their deadlines.
constexpr auto sweep_interval = 500ms;

// What a stop may take beyond its grace: workers get a few seconds for what clients have left behind.
constexpr auto stop_reserve = 30s;

// How often memory that is not in use is given back while there is too little: it keeps all threads from allocating for
// a moment.
constexpr auto trim_interval = 5s;

// How often a stop looks whether the last connection has ended.
constexpr auto drain_interval = 20ms;

/// Where state is kept; empty: nowhere. A service manager says where a service may write.
std::string state_path_of(const config::state& from)
{
    if (from.file == "off") {
        return {};
    }
    if (from.file != "auto") {
        return from.file;
    }
    const char* given = std::getenv("STATE_DIRECTORY");
    const std::string_view all{given != nullptr ? given : ""};
    const auto first = all.substr(0, all.find(':'));
    return std::string{first.starts_with('/') ? first : "/var/lib/buildkit-lb"} + "/state.json";
}

}  // namespace

application::application(const config::load_result& loaded, std::filesystem::path config_file, passed_sockets passed,
                         service_manager manager, std::optional<identity> user)
    : config_file_{std::move(config_file)},
      passed_{std::move(passed)},
      manager_{std::move(manager)},
      settings_{loaded.value},
      written_{loaded.written},
      signals_{control_, SIGTERM, SIGINT},
      hangups_{control_, SIGHUP},
      instruments_{BUILDKIT_LB_VERSION},
      threads_{settings_.threads},
      user_{std::move(user)},
      tasks_{control_.get_executor()}
{
    set_memory_limit();
    certificate_files_ = certificates::files_state(settings_);
    tls_ = certificates{settings_, {}};
    for (const auto& from : settings_.pools) {
        pools_.push_back(make_pool(from, settings_.limits, tls_));
    }
    for (const auto& from : settings_.listeners) {
        listeners_.push_back(std::make_unique<listener_unit>(from, around(settings_, tls_, pools_)));
    }
    instruments_.add_collector(metrics::make_pool_collector([this] { return balancer_pools(); }));
    instruments_.add_collector(metrics::make_process_collector());
    instruments_.add_collector(proxy::make_buildkit_collector([this] {
        std::vector<const proxy::buildkit_pool*> held;
        held.reserve(pools_.size());
        for (const auto& p : pools_) {
            held.push_back(&p->buildkit);
        }
        return held;
    }));
    make_state();
    make_admin();
}

application::~application()
{
    // Connections refer to everything else.
    threads_.stop();
}

application::pool_ptr application::make_pool(const config::pool& from, const config::limits& limits,
                                             const certificates& tls)
{
    return std::make_shared<pool_unit>(from, limits, control_.get_executor(), instruments_, tls.of_pool(from.name));
}

application::pool_ptr application::find_pool(const std::vector<pool_ptr>& among, std::string_view name)
{
    const auto found = std::find_if(among.begin(), among.end(), [&](const auto& p) { return p->name() == name; });
    return found == among.end() ? nullptr : *found;
}

listener_unit::surroundings application::around(const config::root& settings, const certificates& tls,
                                                const std::vector<pool_ptr>& pools)
{
    return {control_.get_executor(),
            threads_,
            instruments_,
            settings,
            tls,
            [&pools](std::string_view name) { return find_pool(pools, name); },
            passed_,
            [this] { return memory_.reached(); }};
}

std::vector<std::shared_ptr<balancer::pool>> application::balancer_pools() const
{
    std::vector<std::shared_ptr<balancer::pool>> all;
    all.reserve(pools_.size());
    for (const auto& p : pools_) {
        all.push_back(p->upstream.workers);
    }
    return all;
}

std::vector<balancer::build_summary> application::build_summaries() const
{
    std::vector<balancer::build_summary> all;
    const auto now = clock::now();
    for (const auto* some : {&pools_, &retired_pools_}) {
        for (const auto& p : *some) {
            auto of_pool = p->buildkit.builds.summaries(p->name(), now);
            std::move(of_pool.begin(), of_pool.end(), std::back_inserter(all));
        }
    }
    return all;
}

void application::make_state()
{
    state_.emplace(state_path_of(settings_.state), settings_.state.interval, instruments_);
    state_->set_pools(balancer_pools());
}

void application::make_admin()
{
    admin::context about{instruments_, [this] { return balancer_pools(); }, [this] { return ready(); },
                         [this] { state_->write_soon(); }};
    about.builds = [this] { return build_summaries(); };
    admin_ = std::make_unique<admin::server>(control_.get_executor(), settings_.admin.address, std::move(about),
                                             admin::server_limits{}, &passed_);
    admin_->set_token(settings_.admin.token);
    admin_->set_hosts(settings_.admin.hosts);
    admin_->routes().add("POST", "/api/v1/reload", admin::immediately([this](const admin::request&) {
                             return admin::reload_response(reload());
                         }));
}

admin::readiness application::ready() const
{
    admin::readiness now;
    if (stopping_) {
        now.reasons.emplace_back("stopping");
    }
    for (const auto& from : settings_.listeners) {
        const auto check = [&](const std::string& name) {
            if (!find_pool(pools_, name)->upstream.workers->snapshot()->ready()) {
                now.reasons.push_back("listener " + from.name + ": no worker of pool " + name + " is up");
            }
        };
        check(from.pool);
        for (const auto& route : from.hosts) {
            check(route.pool);
        }
    }
    now.ready = now.reasons.empty();
    return now;
}

bool application::run()
{
    // Can fail in theory: nothing has been started yet.
    for (const auto& l : listeners_) {
        l->listen();
    }
    change_user();
    // What another user could write could not be kept by this one.
    state_->load();
    for (const auto& p : pools_) {
        p->start();
    }
    for (const auto& l : listeners_) {
        l->start();
    }
    passed_.report_unused();
    admin_->start();
    state_->start();
    tasks_.spawn("sweep", sweep());
    tasks_.spawn("hangups", reload_on_hangup());
    asio::co_spawn(control_, serve_until_stopped(), [](const std::exception_ptr& error) {
        if (error) {
            std::rethrow_exception(error);
        }
    });
    manager_.ready();
    control_.run();
    return all_ended_;
}

void application::change_user()
{
    if (!user_) {
        return;
    }
    make_directory_for(*user_, state_path_of(settings_.state));
    become(*user_);
    log::info("runs as another user from now on", {{"user", user_->name}, {"uid", user_->user}, {"gid", user_->group}});
}

void application::set_memory_limit()
{
    const auto& configured = settings_.limits.memory;
    memory_.set_limit(
        memory_limit_of(configured ? std::optional{configured->value} : std::nullopt, available_memory()));
    instruments_.memory_limit(memory_.limit());
}

void application::watch_memory(time_point now)
{
    auto sizes = metrics::process_memory();
    if (!sizes) {
        return;
    }
    if (memory_.is_reached_at(sizes->resident_bytes) && now - trimmed_ >= trim_interval) {
        // What connections have held and freed is not in use any more, but still resident.
        trimmed_ = now;
        ::malloc_trim(0);
        sizes = metrics::process_memory();
    }
    if (sizes && memory_.observe(sizes->resident_bytes)) {
        const std::vector<log::field> about{{"resident", sizes->resident_bytes}, {"limit", memory_.limit()}};
        if (memory_.reached()) {
            log::warn("limits.memory is reached: new connections wait", about);
        } else {
            log::info("new connections are accepted again: there is memory", about);
        }
    }
}

asio::awaitable<void> application::sweep()
{
    asio::steady_timer timer{control_};
    for (;;) {
        timer.expires_after(sweep_interval);
        co_await timer.async_wait(asio::use_awaitable);
        const auto now = clock::now();
        for (const auto& p : pools_) {
            p->sweep(now);
        }
        sweep_retired(now);
        watch_memory(now);
        if (!stopping_) {
            refresh_certificates();
        }
        manager_.status(status());
    }
}

std::string application::status() const
{
    std::size_t workers = 0;
    std::size_t up = 0;
    std::size_t builds = 0;
    std::size_t waiting = 0;
    for (const auto& pool : balancer_pools()) {
        const auto snapshot = pool->snapshot();
        waiting += pool->queue_length();
        workers += snapshot->workers.size();
        for (const auto& view : snapshot->workers) {
            up += view.health == balancer::worker_health::down ? 0 : 1;
            builds += view.worker->active_builds();
        }
    }
    return fmt::format("{}: {} of {} workers up, {} builds run, {} wait, {} connections",
                       stopping_ ? "stopping" : "serving", up, workers, builds, waiting, threads_.connections());
}

asio::awaitable<void> application::wait_for_signal(int& signal)
{
    const auto [error, number] = co_await signals_.async_wait(asio::as_tuple(asio::use_awaitable));
    signal = error ? 0 : number;
}

asio::awaitable<void> application::serve_until_stopped()
{
    int signal = 0;
    co_await wait_for_signal(signal);
    stopping_ = true;
    log::info("stopping", {{"signal", signal},
                           {"connections", threads_.connections()},
                           {"grace", fmt::format("{}s", settings_.shutdown_grace.count() / 1000)}});
    manager_.stopping(settings_.shutdown_grace + stop_reserve);
    for (const auto& l : listeners_) {
        l->socket().close();
    }
    threads_.begin_drain();
    state_->begin_stop();
    int second = 0;
    auto drained = drain();
    auto signalled = wait_for_signal(second);
    co_await (std::move(drained) || std::move(signalled));
    all_ended_ = threads_.connections() == 0;
    if (!all_ended_) {
        log::warn("connections are cut", {{"connections", threads_.connections()},
                                          {"why", second != 0 ? "a second signal" : "shutdown.grace ran out"}});
    }
    co_await stop_everything();
    log::info("stopped");
}

asio::awaitable<void> application::drain()
{
    const auto deadline = clock::now() + settings_.shutdown_grace;
    asio::steady_timer timer{control_};
    const auto closed = [](const listener_ptr& l) { return l->socket().closed(); };
    const auto done = [&] {
        return threads_.connections() == 0 && std::all_of(listeners_.begin(), listeners_.end(), closed);
    };
    while (!done() && clock::now() < deadline) {
        timer.expires_after(drain_interval);
        co_await timer.async_wait(asio::use_awaitable);
    }
}

asio::awaitable<void> application::stop_everything()
{
    for (const auto* some : {&listeners_, &retired_listeners_}) {
        for (const auto& l : *some) {
            l->socket().close_now();
        }
    }
    threads_.stop();
    for (const auto* some : {&listeners_, &retired_listeners_}) {
        for (const auto& l : *some) {
            co_await l->socket().join();
        }
    }
    for (const auto* some : {&pools_, &retired_pools_}) {
        for (const auto& p : *some) {
            co_await p->stop();
        }
    }
    co_await admin_->stop();
    state_->stop();
    tasks_.cancel();
    co_await tasks_.join();
    signals_.cancel();
    hangups_.cancel();
}

}  // namespace buildkit_lb::app
