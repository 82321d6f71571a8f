#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/steady_timer.hpp>
#include <list>
#include <string>

namespace buildkit_lb {

/// Owns coroutines: what is spawned here is joined here, and nothing long-lived runs unowned.
///
/// All members are called on the thread that runs `executor`. Destroy it only when it is empty (after join()), or
/// after its io_context has been destroyed. An exception that leaves a task is logged and ends that task only.
class task_group {
public:
    explicit task_group(boost::asio::any_io_executor executor);
    task_group(const task_group&) = delete;
    task_group& operator=(const task_group&) = delete;

    /// Starts `task`. `name` appears in the log if an exception leaves it. The signal cancels this task alone; it is
    /// valid until the task has ended.
    boost::asio::cancellation_signal& spawn(const char* name, boost::asio::awaitable<void> task);

    /// Asks every task to end (terminal cancellation). Returns at once; join() waits.
    void cancel();

    /// Returns when no task runs.
    boost::asio::awaitable<void> join();

    std::size_t size() const { return tasks_.size(); }

private:
    boost::asio::any_io_executor executor_;
    boost::asio::steady_timer changed_;  // never expires: cancelled to wake join()
    std::list<boost::asio::cancellation_signal> tasks_;
};

}  // namespace buildkit_lb
