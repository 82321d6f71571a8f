// The members of application that take a new configuration over while everything runs.

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <stdexcept>

#include "app/application.hpp"
#include "core/log.hpp"

namespace buildkit_lb::app {

namespace asio = boost::asio;

namespace {

/// What only a restart changes.
std::vector<std::string> needing_restart(const config::root& before, const config::root& after)
{
    std::vector<std::string> keys;
    if (before.threads != after.threads) {
        keys.emplace_back("threads");
    }
    if (before.user != after.user) {
        keys.emplace_back("user");
    }
    if (before.admin.address != after.admin.address) {
        keys.emplace_back("admin.address");
    }
    if (before.limits.remembered_builds != after.limits.remembered_builds) {
        keys.emplace_back("limits.remembered_builds");
    }
    for (auto& key : keys) {
        key += " takes effect after a restart";
    }
    return keys;
}

}  // namespace

admin::reload_outcome application::reload()
{
    if (stopping_) {
        return try_reload();  // which refuses: the service manager knows already that it stops
    }
    manager_.reloading();
    auto outcome = try_reload();
    manager_.ready();
    return outcome;
}

admin::reload_outcome application::try_reload()
{
    admin::reload_outcome outcome;
    auto loaded = config::load(config_file_);
    for (const auto& p : loaded.problems) {
        outcome.errors.push_back(p.to_string());
    }
    if (stopping_) {
        outcome.errors.emplace_back("the balancer is stopping");
    }
    std::vector<pool_ptr> pools;
    std::vector<listener_ptr> made;
    certificates tls;
    std::string certificate_files;
    if (outcome.errors.empty()) {
        // First all that can fail: as long as something can, nothing has changed.
        try {
            certificate_files = certificates::files_state(loaded.value);
            tls = certificates{loaded.value, tls_};
            for (const auto& from : loaded.value.pools) {
                const auto known = find_pool(pools_, from.name);
                pools.push_back(known ? known : make_pool(from, loaded.value.limits, tls));
            }
            for (const auto& from : loaded.value.listeners) {
                if (std::none_of(listeners_.begin(), listeners_.end(), [&](const auto& l) { return l->fits(from); })) {
                    made.push_back(std::make_unique<listener_unit>(from, around(loaded.value, tls, pools)));
                }
            }
            for (const auto& l : made) {
                l->listen();
            }
        } catch (const std::runtime_error& e) {
            outcome.errors.emplace_back(e.what());
        }
    }
    instruments_.config_reloaded(outcome.errors.empty());
    if (!outcome.errors.empty()) {
        for (const auto& error : outcome.errors) {
            log::error("reload refused: the old configuration stays",
                       {{"config", config_file_.string()}, {"error", error}});
        }
        return outcome;
    }
    outcome.changes = config::difference(written_, loaded.written);
    outcome.warnings = needing_restart(settings_, loaded.value);
    certificate_files_ = std::move(certificate_files);
    apply(loaded, std::move(tls), std::move(pools), std::move(made));
    log::info("reloaded", {{"config", config_file_.string()}, {"changes", outcome.changes.size()}});
    for (const auto& change : outcome.changes) {
        log::info("configuration changed", {{"change", change}});
    }
    for (const auto& warning : outcome.warnings) {
        log::warn("configuration changed", {{"warning", warning}});
    }
    return outcome;
}

void application::apply(config::load_result& loaded, certificates tls, std::vector<pool_ptr> pools,
                        std::vector<listener_ptr> made)
{
    const config::root& next = loaded.value;
    tls_ = std::move(tls);
    const bool other_state = next.state != settings_.state;
    if (other_state) {
        state_->stop();
    }
    log::configure(next.log.level, next.log.format);
    admin_->set_token(next.admin.token);
    admin_->set_hosts(next.admin.hosts);
    for (const auto& from : next.pools) {
        const auto p = find_pool(pools, from.name);
        if (find_pool(pools_, from.name)) {
            p->update(from, next.limits, tls_.of_pool(from.name));
        } else {
            p->start();
        }
    }
    for (auto& p : pools_) {
        if (!find_pool(pools, p->name())) {
            retired_pools_.push_back(std::move(p));
        }
    }
    pools_ = std::move(pools);
    state_->set_pools(balancer_pools());
    std::vector<listener_ptr> listeners;
    for (const auto& from : next.listeners) {
        const auto fits = [&](const auto& l) { return l && l->fits(from); };
        auto known = std::find_if(listeners_.begin(), listeners_.end(), fits);
        if (known != listeners_.end()) {
            (*known)->update(from, around(next, tls_, pools_));
        } else {
            known = std::find_if(made.begin(), made.end(), fits);
            (*known)->start();
        }
        listeners.push_back(std::move(*known));
    }
    for (auto& l : listeners_) {
        if (l) {
            l->socket().close();
            retired_listeners_.push_back(std::move(l));
        }
    }
    listeners_ = std::move(listeners);
    settings_ = next;
    set_memory_limit();
    if (other_state) {
        make_state();
        state_->load();
        state_->start();
    }
    written_ = std::move(loaded.written);
}

void application::refresh_certificates()
{
    std::string state = certificates::files_state(settings_);
    if (state == certificate_files_) {
        return;
    }
    certificate_files_ = std::move(state);
    try {
        tls_ = certificates{settings_, tls_};
    } catch (const std::runtime_error& e) {
        instruments_.certificates_reloaded(false);
        log::error("certificates can't be taken over: the old ones stay", {{"error", e.what()}});
        return;
    }
    for (const auto& from : settings_.pools) {
        find_pool(pools_, from.name)->set_tls(tls_.of_pool(from.name));
    }
    for (std::size_t i = 0; i < listeners_.size(); ++i) {
        listeners_[i]->update(settings_.listeners[i], around(settings_, tls_, pools_));
    }
    instruments_.certificates_reloaded(true);
    log::info("certificates reloaded");
}

asio::awaitable<void> application::reload_on_hangup()
{
    for (;;) {
        const auto [error, number] = co_await hangups_.async_wait(asio::as_tuple(asio::use_awaitable));
        if (error) {
            co_return;
        }
        reload();
    }
}

void application::sweep_retired(time_point now)
{
    std::erase_if(retired_listeners_, [](const auto& l) { return l->socket().idle(); });
    for (auto& p : retired_pools_) {
        p->sweep(now);
        // Its connections hold it, and what they hold of its balancer goes with them.
        if (p.use_count() == 1) {
            tasks_.spawn("pool", end_pool(std::move(p)));
        }
    }
    std::erase(retired_pools_, nullptr);
}

asio::awaitable<void> application::end_pool(pool_ptr p)
{
    co_await p->stop();
}

}  // namespace buildkit_lb::app
