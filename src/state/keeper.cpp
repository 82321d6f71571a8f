#include "state/keeper.hpp"

#include <algorithm>
#include <chrono>
#include <set>
#include <utility>

#include "core/log.hpp"

namespace buildkit_lb::state {
namespace {

// Keys that are copied while the pool is locked: about a tenth of a millisecond.
constexpr std::size_t keys_at_once = 128;

constexpr std::size_t write_at_once = 64 * 1024;

/// Both clocks at one moment, to tell one's time in the other's.
struct both_clocks {
    wall_time wall = std::chrono::system_clock::now();
    time_point steady = clock::now();

    wall_time to_wall(time_point t) const { return wall - std::chrono::duration_cast<wall_time::duration>(steady - t); }
    /// What seems to come from the future, because the wall clock was set back, is of now.
    time_point to_steady(wall_time t) const
    {
        return steady - std::max(std::chrono::duration_cast<duration>(wall - t), duration::zero());
    }
};

std::map<std::string, std::string> addresses_of(const balancer::pool_snapshot& of)
{
    std::map<std::string, std::string> all;
    for (const auto& view : of.workers) {
        all[view.worker->name()] = view.worker->address().to_string();
    }
    return all;
}

}  // namespace

keeper::keeper(std::string path, duration interval, metrics::instruments& instruments)
    : file_{std::move(path)}, interval_{interval}, instruments_{instruments}, off_{file_.path().empty()}
{
}

keeper::~keeper()
{
    stop();
}

void keeper::set_pools(std::vector<std::shared_ptr<balancer::pool>> pools)
{
    const std::lock_guard lock{mutex_};
    pools_ = std::move(pools);
}

std::vector<keeper::pool_ptr> keeper::pools()
{
    const std::lock_guard lock{mutex_};
    return pools_;
}

void keeper::load()
{
    const auto all = pools();
    if (off_) {
        return;
    }
    const auto text = file_.read();
    if (!text) {
        // Not ours, it seems: a file that can't be read is not to be replaced either.
        off_ = true;
        log::warn("the state file can't be read: nothing is kept over a restart",
                  {{"file", file_.path()}, {"error", text.error().text}});
        return;
    }
    if (*text) {
        if (const auto saved = decode(**text)) {
            for (const auto& from : *saved) {
                for (const auto& pool : all) {
                    if (pool->name() == from.name) {
                        restore(from, *pool, known_[from.name]);
                    }
                }
            }
        } else if (const auto moved = file_.set_aside()) {
            log::warn(
                "the state file is ignored and set aside: builds may begin cold, and drained workers are not drained",
                {{"file", file_.path()}, {"error", saved.error().text}, {"moved_to", *moved}});
        } else {
            off_ = true;
            log::warn("the state file is ignored, and nothing is kept over a restart",
                      {{"file", file_.path()}, {"error", saved.error().text}, {"why", moved.error().text}});
        }
    }
    for (const auto& pool : all) {
        known_[pool->name()].written = mark_of(*pool);
    }
    // What will keep it from being written is better known now than after the first build.
    if (!off_) {
        ready_to_write();
    }
}

void keeper::restore_warmth(const saved_pool& from, balancer::pool& pool, memory& known) const
{
    const both_clocks now;
    const auto workers = pool.snapshot();
    const auto configured = addresses_of(*workers);
    const auto moved = [&](const std::string& worker) {
        const auto then = from.addresses.find(worker);
        const auto today = configured.find(worker);
        return then != from.addresses.end() && today != configured.end() && then->second != today->second;
    };
    std::vector<balancer::warm_key> keys;
    for (const auto& saved : from.keys) {
        balancer::warm_key key{saved.key, {}};
        for (const auto& w : saved.workers) {
            if (!moved(w.worker)) {
                key.workers.push_back({w.worker, now.to_steady(w.built), w.cached_share});
            }
        }
        keys.push_back(std::move(key));
    }
    pool.restore_warmth(std::move(keys), now.steady);
    known.addresses.insert(from.addresses.begin(), from.addresses.end());
}

void keeper::restore(const saved_pool& from, balancer::pool& pool, memory& known)
{
    restore_warmth(from, pool, known);
    for (const auto& name : from.drained) {
        if (pool.set_draining(name, true)) {
            log::info("worker is still draining", {{"pool", pool.name()}, {"worker", name}});
        }
    }
    log::info("state was read", {{"file", file_.path()},
                                 {"pool", pool.name()},
                                 {"keys", pool.remembered_keys()},
                                 {"drained", from.drained.size()}});
}

void keeper::start()
{
    if (!off_) {
        thread_ = std::thread{[this] { run(); }};
    }
}

void keeper::write_soon()
{
    const std::lock_guard lock{mutex_};
    wanted_ = true;
    woken_.notify_all();
}

void keeper::begin_stop()
{
    const std::lock_guard lock{mutex_};
    if (phase_ == phase::running) {
        phase_ = phase::stopping;
        wanted_ = true;
        woken_.notify_all();
    }
}

void keeper::stop()
{
    {
        const std::lock_guard lock{mutex_};
        phase_ = phase::ended;
        woken_.notify_all();
    }
    if (thread_.joinable()) {
        thread_.join();
    }
}

void keeper::run()
{
    for (;;) {
        phase now{};
        {
            std::unique_lock lock{mutex_};
            woken_.wait_for(lock, interval_, [&] { return wanted_ || phase_ == phase::ended; });
            wanted_ = false;
            now = phase_;
        }
        write_if_changed(now == phase::running);
        if (now == phase::ended) {
            return;
        }
    }
}

keeper::mark keeper::mark_of(const balancer::pool& pool)
{
    return {pool.warmth_changes(), pool.drained()};
}

void keeper::write_if_changed(bool keep_lock)
{
    const auto all = pools();
    std::vector<mark> now;
    bool changed = false;
    for (const auto& pool : all) {
        now.push_back(mark_of(*pool));
        changed = changed || now.back() != known_[pool->name()].written;
    }
    if (changed && ready_to_write()) {
        write(all, now);
    }
    if (!keep_lock) {
        in_use_ = true;  // by the next process, soon: no news
        file_.unlock();
    }
}

bool keeper::ready_to_write()
{
    const auto locked = file_.lock();
    if (!locked) {
        trouble(locked.error().text);
        return false;
    }
    const bool in_use = *locked == state_file::lock_state::taken;
    if (in_use && !std::exchange(in_use_, true)) {
        log::info("another process keeps its state in the state file: this one will once that has ended",
                  {{"file", file_.path()}, {"remedy", "if both are to run, give each a state.file"}});
    }
    if (!in_use && std::exchange(in_use_, false)) {
        catch_up();
    }
    return !in_use;
}

void keeper::catch_up()
{
    const auto text = file_.read();
    if (!text || !*text) {
        return;
    }
    const auto saved = decode(**text);
    if (!saved) {
        return;
    }
    // Keys that this process knows already stay as they are, and so do drains: operators speak to the newest process.
    for (const auto& from : *saved) {
        for (const auto& pool : pools()) {
            if (pool->name() == from.name) {
                restore_warmth(from, *pool, known_[from.name]);
            }
        }
    }
}

void keeper::write(const std::vector<pool_ptr>& pools, const std::vector<mark>& now)
{
    const auto written = file_.replace([&](const state_file::sink& out) {
        encoder text;
        out(text.begin(std::chrono::system_clock::now()));
        for (std::size_t i = 0; i < pools.size(); ++i) {
            write_pool(*pools[i], now[i], known_[pools[i]->name()], text, out);
        }
        out(text.end());
    });
    if (!written) {
        trouble(written.error().text);
        return;
    }
    instruments_.state_written(true);
    for (std::size_t i = 0; i < pools.size(); ++i) {
        known_[pools[i]->name()].written = now[i];
    }
    if (!std::exchange(trouble_, {}).empty()) {
        log::info("the state file is written again", {{"file", file_.path()}});
    }
}

void keeper::write_pool(balancer::pool& pool, const mark& now, memory& known, encoder& text,
                        const state_file::sink& out) const
{
    const both_clocks clocks;
    std::set<std::string> named{now.drained.begin(), now.drained.end()};
    std::string pending = text.begin_pool(pool.name());
    for (bool first = true;; first = false) {
        const auto some = pool.copy_warmth(first, keys_at_once, clocks.steady);
        for (const auto& key : some) {
            saved_key saved{key.key, {}};
            for (const auto& w : key.workers) {
                named.insert(w.worker);
                saved.workers.push_back({w.worker, clocks.to_wall(w.built), w.cached_share});
            }
            if (!saved.workers.empty()) {
                pending += text.key(saved);
            }
        }
        if (pending.size() >= write_at_once) {
            out(std::exchange(pending, {}));
        }
        if (some.size() < keys_at_once) {
            break;
        }
    }
    // Addresses of workers that are gone are kept for as long as anything speaks of them.
    auto addresses = addresses_of(*pool.snapshot());
    for (const auto& [worker, address] : known.addresses) {
        if (named.contains(worker)) {
            addresses.emplace(worker, address);
        }
    }
    known.addresses = addresses;
    out(pending + text.end_pool(addresses, now.drained));
}

void keeper::trouble(const std::string& what)
{
    instruments_.state_written(false);
    if (std::exchange(trouble_, what) != what) {
        log::warn("state can't be kept over a restart",
                  {{"file", file_.path()}, {"error", what}, {"remedy", "make it writable, or set state.file"}});
    }
}

}  // namespace buildkit_lb::state
