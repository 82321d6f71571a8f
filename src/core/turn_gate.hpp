#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/execution_context.hpp>
#include <boost/system/error_code.hpp>
#include <list>

#include "core/types.hpp"

namespace buildkit_lb {

/// Lets one costly piece of work through in each turn of an event loop, in order of arrival: whatever else is ready on
/// that thread gets its turn in between, however many such pieces come at once. For work of about a millisecond that
/// has to be done on the thread, such as the private key's part of a TLS handshake.
///
/// One of each single-threaded io_context (a service of Asio's, made at its first use); called on its thread only.
class turn_gate final : public boost::asio::execution_context::service {
public:
    static inline boost::asio::execution_context::id id;

    explicit turn_gate(boost::asio::execution_context& context) : service{context} {}

    /// The one of the loop that `executor` belongs to.
    static turn_gate& of(const boost::asio::any_io_executor& executor);

    /// Returns when it is this coroutine's turn: do the work before the next co_await. timed_out: not until `deadline`;
    /// operation_aborted: the coroutine is cancelled.
    boost::asio::awaitable<boost::system::error_code> pass(boost::asio::any_io_executor executor, time_point deadline);

private:
    struct waiter;

    void shutdown() noexcept override {}
    void take_turn(const boost::asio::any_io_executor& executor);
    void end_turn(const boost::asio::any_io_executor& executor);

    bool taken_ = false;  // in this turn of the loop
    std::list<waiter*> waiters_;
};

}  // namespace buildkit_lb
