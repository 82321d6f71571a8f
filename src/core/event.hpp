#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "core/types.hpp"

namespace buildkit_lb {

/// Something that happens once, or many times with clear(): one coroutine at a time waits for it, code of the same
/// thread sets it. Destroy it when nobody waits.
class event {
public:
    explicit event(boost::asio::any_io_executor executor) : timer_{std::move(executor)} {}

    bool is_set() const { return set_; }
    void clear() { set_ = false; }
    void set()
    {
        set_ = true;
        timer_.cancel();
    }

    /// Returns true when it is set, false at `deadline`. Throws system_error(operation_aborted) when the waiting task
    /// is cancelled.
    boost::asio::awaitable<bool> wait(time_point deadline = time_point::max())
    {
        while (!set_) {
            timer_.expires_at(deadline);
            const auto [error] = co_await timer_.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
            if (!error) {
                break;
            }
            const auto state = co_await boost::asio::this_coro::cancellation_state;
            if (state.cancelled() != boost::asio::cancellation_type::none) {
                throw boost::system::system_error(boost::asio::error::operation_aborted);
            }
        }
        co_return set_;
    }

private:
    boost::asio::steady_timer timer_;
    bool set_ = false;
};

/// One value that any thread gives and one coroutine waits for. The coroutine's side owns this object; setter() may
/// outlive it, and a value that comes too late is dropped.
template <class T>
class one_shot {
public:
    explicit one_shot(boost::asio::any_io_executor executor) : state_{std::make_shared<state>(std::move(executor))} {}

    /// A function for any thread; only the first call counts.
    std::function<void(T)> setter() const
    {
        return [weak = std::weak_ptr<state>{state_}, executor = state_->executor](T value) {
            boost::asio::post(executor, [weak, value = std::move(value)]() mutable {
                const auto alive = weak.lock();
                if (alive && !alive->value) {
                    alive->value = std::move(value);
                    alive->given.set();
                }
            });
        };
    }

    /// The value, or nullopt at `deadline`. On the thread of the executor.
    boost::asio::awaitable<std::optional<T>> wait(time_point deadline = time_point::max())
    {
        co_await state_->given.wait(deadline);
        co_return std::move(state_->value);
    }

private:
    struct state {
        explicit state(boost::asio::any_io_executor e) : executor{e}, given{e} {}
        boost::asio::any_io_executor executor;
        event given;
        std::optional<T> value;
    };
    std::shared_ptr<state> state_;
};

}  // namespace buildkit_lb
