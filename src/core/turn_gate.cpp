#include "core/turn_gate.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/execution/context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/query.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <tuple>

namespace buildkit_lb {

namespace asio = boost::asio;

struct turn_gate::waiter {
    asio::steady_timer timer;
    bool called = false;
};

turn_gate& turn_gate::of(const asio::any_io_executor& executor)
{
    return asio::use_service<turn_gate>(asio::query(executor, asio::execution::context));
}

asio::awaitable<boost::system::error_code> turn_gate::pass(asio::any_io_executor executor, time_point deadline)
{
    if (!taken_) {
        take_turn(executor);
        co_return boost::system::error_code{};
    }
    waiter self{asio::steady_timer{executor, deadline}};
    const auto place = waiters_.insert(waiters_.end(), &self);
    const auto outcome = co_await self.timer.async_wait(asio::as_tuple(asio::use_awaitable));
    if (self.called) {
        co_return boost::system::error_code{};
    }
    waiters_.erase(place);
    const boost::system::error_code aborted = std::get<0>(outcome);
    co_return aborted ? aborted : boost::system::error_code{asio::error::timed_out};
}

void turn_gate::take_turn(const asio::any_io_executor& executor)
{
    taken_ = true;
    // What is posted runs after all that is ready now: a turn of the loop later.
    asio::post(executor, [this, executor] { end_turn(executor); });
}

void turn_gate::end_turn(const asio::any_io_executor& executor)
{
    taken_ = false;
    if (waiters_.empty()) {
        return;
    }
    waiter& next = *waiters_.front();
    waiters_.pop_front();
    next.called = true;
    next.timer.cancel();
    take_turn(executor);
}

}  // namespace buildkit_lb
