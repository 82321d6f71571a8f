#pragma once

#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "balancer/pool.hpp"
#include "metrics/instruments.hpp"
#include "state/codec.hpp"
#include "state/state_file.hpp"

namespace buildkit_lb::state {

/// Keeps what the pools have learned over a restart: which workers are warm for which keys, and which are drained.
/// Made, loaded, started and stopped by the control thread; a thread of its own writes the file when something has
/// changed, so that no build and no probe waits for a disk. Keys are copied a few hundred at a time under the pool's
/// lock.
///
/// Nothing that goes wrong with the file stops anything: it is logged, once until it changes, and counted.
class keeper {
public:
    /// `path` empty: nothing is kept. `instruments` outlives it.
    keeper(std::string path, duration interval, metrics::instruments& instruments);
    keeper(const keeper&) = delete;
    keeper& operator=(const keeper&) = delete;
    ~keeper();

    /// The state of these pools is kept from now on.
    void set_pools(std::vector<std::shared_ptr<balancer::pool>> pools);

    /// Gives the pools what the file says. Before any traffic.
    void load();

    /// Begins to write every interval.
    void start();

    /// Writes what has changed without waiting for the interval, nor for the disk: what an operator wished is not to be
    /// lost.
    void write_soon();

    /// Writes what has changed, and from now on leaves the file to whoever comes after this process as soon as that
    /// wants it. Does not wait.
    void begin_stop();

    /// Writes what has changed, and ends. Waits for the disk.
    void stop();

private:
    using pool_ptr = std::shared_ptr<balancer::pool>;
    /// What tells whether a pool has anything new.
    struct mark {
        std::uint64_t changes = 0;
        std::vector<std::string> drained;
        bool operator==(const mark&) const = default;
    };
    /// What is known of a pool beside the pool itself.
    struct memory {
        mark written;
        std::map<std::string, std::string> addresses;  // of workers that may be gone, too
    };

    void run();
    void write_if_changed(bool keep_lock);
    void write(const std::vector<pool_ptr>& pools, const std::vector<mark>& now);
    void write_pool(balancer::pool& pool, const mark& now, memory& known, encoder& text,
                    const state_file::sink& out) const;
    void restore(const saved_pool& from, balancer::pool& pool, memory& known);
    void restore_warmth(const saved_pool& from, balancer::pool& pool, memory& known) const;
    /// After another process has left the file: what that has learned since load() is not to be overwritten unread.
    void catch_up();
    static mark mark_of(const balancer::pool& pool);
    std::vector<pool_ptr> pools();
    bool ready_to_write();
    void trouble(const std::string& what);

    state_file file_;
    const duration interval_;
    metrics::instruments& instruments_;
    // Of the thread, once it runs.
    std::map<std::string, memory> known_;  // by the name of the pool
    std::string trouble_;                  // the latest, while it lasts
    bool in_use_ = false;                  // by another process, and so it was logged
    bool off_ = false;                     // constant once the thread runs

    std::mutex mutex_;
    std::vector<pool_ptr> pools_;  // guarded by mutex_
    std::condition_variable woken_;
    enum class phase : std::uint8_t { running, stopping, ended };
    phase phase_ = phase::running;  // guarded by mutex_
    bool wanted_ = false;           // guarded by mutex_: to write now
    std::thread thread_;
};

}  // namespace buildkit_lb::state
