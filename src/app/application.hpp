#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <filesystem>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "admin/server.hpp"
#include "app/listener_unit.hpp"
#include "app/memory_ceiling.hpp"
#include "app/pool_unit.hpp"
#include "app/privileges.hpp"
#include "config/load.hpp"
#include "core/passed_sockets.hpp"
#include "core/service_manager.hpp"
#include "core/task_group.hpp"
#include "metrics/instruments.hpp"
#include "proxy/data_thread.hpp"
#include "state/keeper.hpp"

namespace buildkit_lb::app {

/// Everything that runs, wired together from a configuration. The thread that calls run() is the control thread: it
/// accepts, probes, serves admin requests and handles signals; connections are on the data threads.
class application {
public:
    /// Binds all addresses; throws std::runtime_error when one can't be. `config_file` is read again by a reload.
    /// Becomes `user`, where there is one, before the first client is served.
    application(const config::load_result& loaded, std::filesystem::path config_file, passed_sockets passed,
                service_manager manager, std::optional<identity> user = {});
    ~application();

    /// Runs until stopped by SIGTERM or SIGINT. True when every connection ended by itself.
    bool run();

private:
    using pool_ptr = std::shared_ptr<pool_unit>;
    using listener_ptr = std::unique_ptr<listener_unit>;

    pool_ptr make_pool(const config::pool& from, const config::limits& limits, const certificates& tls);
    static pool_ptr find_pool(const std::vector<pool_ptr>& among, std::string_view name);
    listener_unit::surroundings around(const config::root& settings, const certificates& tls,
                                       const std::vector<pool_ptr>& pools);
    std::vector<std::shared_ptr<balancer::pool>> balancer_pools() const;
    /// Of all pools, those among them that a reload has taken out and that are still used.
    std::vector<balancer::build_summary> build_summaries() const;
    std::string status() const;
    void make_state();
    void make_admin();
    void change_user();
    /// Takes limits.memory over.
    void set_memory_limit();
    /// Looks how large the process is.
    void watch_memory(time_point now);

    // ---- Reload (reload.cpp) ----

    /// Reads the configuration again and takes it over, or changes nothing and says what is wrong.
    admin::reload_outcome reload();
    admin::reload_outcome try_reload();
    void apply(config::load_result& loaded, certificates tls, std::vector<pool_ptr> pools,
               std::vector<listener_ptr> made);
    /// Takes certificates over whose files have changed since they were read, or says what is wrong with them.
    void refresh_certificates();
    boost::asio::awaitable<void> reload_on_hangup();
    /// Drops what a reload has taken out once nobody uses it.
    void sweep_retired(time_point now);
    boost::asio::awaitable<void> end_pool(pool_ptr p);

    admin::readiness ready() const;

    boost::asio::awaitable<void> sweep();
    boost::asio::awaitable<void> serve_until_stopped();
    boost::asio::awaitable<void> wait_for_signal(int& signal);
    boost::asio::awaitable<void> drain();
    boost::asio::awaitable<void> stop_everything();

    const std::filesystem::path config_file_;
    passed_sockets passed_;
    service_manager manager_;
    config::root settings_;
    config::flat_values written_;  // of the file that settings_ came from
    boost::asio::io_context control_{1};
    boost::asio::signal_set signals_;
    boost::asio::signal_set hangups_;
    metrics::instruments instruments_;
    certificates tls_;
    std::string certificate_files_;  // their state when they were last read, well or not
    std::vector<pool_ptr> pools_;
    std::vector<pool_ptr> retired_pools_;  // still used by connections
    std::optional<state::keeper> state_;   // always, once the pools are made
    proxy::data_plane threads_;
    std::vector<listener_ptr> listeners_;
    std::vector<listener_ptr> retired_listeners_;  // closed; their connections go on
    std::unique_ptr<admin::server> admin_;
    const std::optional<identity> user_;
    memory_ceiling memory_;
    time_point trimmed_{};  // when memory was last given back
    bool stopping_ = false;
    bool all_ended_ = true;
    task_group tasks_;
};

}  // namespace buildkit_lb::app
