#pragma once

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/intrusive/list.hpp>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "core/task_group.hpp"
#include "core/types.hpp"

namespace buildkit_lb::proxy {

/// A connection as its data thread sees it: something that can be idle for too long. Entered in the thread's list for
/// as long as it lives; all members are called on that thread.
class idle_watched
    : public boost::intrusive::list_base_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
public:
    virtual ~idle_watched() = default;
    idle_watched() = default;
    idle_watched(const idle_watched&) = delete;
    idle_watched& operator=(const idle_watched&) = delete;

    /// Called every second or so. Closes itself if it was silent for too long.
    virtual void check_idle(time_point now) = 0;
};

/// One thread with an io_context of its own. A connection, its streams and its upstream links live and die on one
/// data thread, so nothing on the data path is locked.
class data_thread {
public:
    data_thread();
    ~data_thread();
    data_thread(const data_thread&) = delete;
    data_thread& operator=(const data_thread&) = delete;

    boost::asio::any_io_executor executor() { return context_.get_executor(); }

    /// Connections given to this thread that have not ended. Any thread.
    std::uint32_t connections() const { return connections_.load(std::memory_order_relaxed); }

    /// Counts a connection for as long as it lives. Made by whoever hands it over, on any thread.
    class place {
    public:
        explicit place(data_thread& on) : on_{&on} { on.connections_.fetch_add(1, std::memory_order_relaxed); }
        place(place&& other) noexcept : on_{std::exchange(other.on_, nullptr)} {}
        place& operator=(place&&) = delete;
        ~place()
        {
            if (on_ != nullptr) {
                on_->connections_.fetch_sub(1, std::memory_order_relaxed);
            }
        }

    private:
        data_thread* on_;
    };

    /// The connections of this thread. On this thread only.
    task_group& tasks() { return tasks_; }

    /// Calls check_idle() of `connection` until it is destroyed. On this thread only.
    void watch(idle_watched& connection) { watched_.push_back(connection); }

    /// The process is stopping: connections that nobody uses are to end. Any thread.
    void begin_drain() { draining_.store(true, std::memory_order_relaxed); }
    bool draining() const { return draining_.load(std::memory_order_relaxed); }

    /// Memory that belongs to whichever connection is running, until its next co_await. On this thread only.
    std::vector<char>& scratch() { return scratch_; }

    /// Cancels what still runs, waits for it and ends the thread. Any thread but this one.
    void stop();

private:
    using idle_list = boost::intrusive::list<idle_watched, boost::intrusive::constant_time_size<false>>;

    boost::asio::awaitable<void> sweep();
    void begin_stop();

    boost::asio::io_context context_{1};
    boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
    std::atomic<std::uint32_t> connections_{0};
    std::atomic<bool> draining_{false};
    std::vector<char> scratch_;
    idle_list watched_;
    task_group tasks_;
    task_group background_;
    std::thread thread_;
};

/// All data threads, and the choice among them.
class data_plane {
public:
    /// Starts `threads` threads; 0 means one per core.
    explicit data_plane(std::uint32_t threads);

    /// The thread with the fewest connections. Any thread.
    data_thread& least_busy();

    /// Connections on all threads. Any thread.
    std::uint32_t connections() const;

    /// See data_thread::begin_drain().
    void begin_drain();

    void stop();

private:
    std::vector<std::unique_ptr<data_thread>> threads_;
};

}  // namespace buildkit_lb::proxy
