#include "http2/flow_control.hpp"

#include <algorithm>

namespace buildkit_lb::http2 {
namespace {

constexpr std::uint32_t largest_window = 0x7fffffff;

}  // namespace

receive_budget::receive_budget(const options& limits)
    : budget_{limits.memory_budget},
      initial_{std::min(limits.initial_stream_window, largest_window)},
      largest_{std::clamp(limits.max_stream_window, initial_, largest_window)},
      // The protocol's own initial window can't be taken back, so the budget is never below it.
      connection_window_{std::clamp<std::size_t>(std::min<std::size_t>(limits.connection_window, limits.memory_budget),
                                                 65535, largest_window)}
{
    budget_ = std::max(budget_, connection_window_);
}

void receive_budget::open(stream_window& w) const
{
    w = stream_window{};
    w.target = initial_;
    w.credit = initial_;
}

void receive_budget::received(stream_window& w, std::size_t bytes)
{
    w.credit -= static_cast<std::int64_t>(bytes);
    w.unconsumed += bytes;
    buffered_ += bytes;
    owed_ += bytes;
}

std::uint32_t receive_budget::consumed(stream_window& w, std::size_t bytes)
{
    bytes = std::min(bytes, w.unconsumed);
    w.unconsumed -= bytes;
    buffered_ -= bytes;
    if (w.ended) {
        return 0;
    }
    w.since_growth += bytes;
    if (over()) {
        w.target = initial_;
        w.since_growth = 0;
    } else if (w.since_growth >= w.target && w.target < largest_ && w.unconsumed <= w.target / 8) {
        const std::uint32_t grown = w.target > largest_ / 2 ? largest_ : w.target * 2;
        const std::size_t charged = std::max<std::size_t>(w.target, w.extra + initial_);
        const std::size_t more = grown > charged ? grown - charged : 0;
        if (buffered_ + extra_ + more <= budget_) {
            w.target = grown;
        }
        w.since_growth = 0;
    }
    const std::int64_t owed = w.target - w.credit - static_cast<std::int64_t>(w.unconsumed);
    std::uint32_t grant = 0;
    if (owed >= w.target / 4) {
        w.credit += owed;
        grant = static_cast<std::uint32_t>(owed);
    }
    charge_extra(w);
    return grant;
}

void receive_budget::ended(stream_window& w)
{
    w.ended = true;
    extra_ -= w.extra;
    w.extra = 0;
}

void receive_budget::abandoned(stream_window& w)
{
    buffered_ -= w.unconsumed;
    w.unconsumed = 0;
    ended(w);
}

void receive_budget::charge_extra(stream_window& w)
{
    // A window that shrinks is charged until the credit above its new size is used up: it can't be taken back.
    const std::int64_t reach = std::max<std::int64_t>(w.target, w.credit + static_cast<std::int64_t>(w.unconsumed));
    const std::size_t now = static_cast<std::size_t>(std::max<std::int64_t>(0, reach - initial_));
    extra_ = extra_ - w.extra + now;
    w.extra = now;
}

std::size_t receive_budget::take_connection_credit()
{
    const std::size_t exposed = buffered_ + connection_credit();
    const std::size_t room = budget_ > exposed ? budget_ - exposed : 0;
    const std::size_t now = std::min(owed_, room);
    owed_ -= now;
    return now;
}

}  // namespace buildkit_lb::http2
