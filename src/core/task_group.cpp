#include "core/task_group.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "core/log.hpp"

namespace buildkit_lb {

namespace asio = boost::asio;

task_group::task_group(asio::any_io_executor executor)
    : executor_{std::move(executor)}, changed_{executor_, asio::steady_timer::time_point::max()}
{
}

asio::cancellation_signal& task_group::spawn(const char* name, asio::awaitable<void> task)
{
    const auto position = tasks_.emplace(tasks_.end());
    auto on_end = [this, name, position](const std::exception_ptr& error) {
        if (error) {
            try {
                std::rethrow_exception(error);
            } catch (const boost::system::system_error& e) {
                if (e.code() != asio::error::operation_aborted) {
                    log::error("task failed", {{"task", name}, {"error", e.what()}});
                }
            } catch (const std::exception& e) {
                log::error("task failed", {{"task", name}, {"error", e.what()}});
            }
        }
        tasks_.erase(position);
        changed_.cancel();
    };
    asio::co_spawn(executor_, std::move(task), asio::bind_cancellation_slot(position->slot(), std::move(on_end)));
    return *position;
}

void task_group::cancel()
{
    // A task that ends at once erases its entry: step past it first.
    for (auto it = tasks_.begin(); it != tasks_.end();) {
        const auto current = it++;
        current->emit(asio::cancellation_type::terminal);
    }
}

asio::awaitable<void> task_group::join()
{
    while (!tasks_.empty()) {
        co_await changed_.async_wait(asio::as_tuple(asio::use_awaitable));
    }
}

}  // namespace buildkit_lb
