#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <functional>
#include <string>
#include <vector>

#include "config/config.hpp"
#include "core/endpoint.hpp"
#include "core/resolve.hpp"
#include "core/task_group.hpp"
#include "metrics/instruments.hpp"

namespace buildkit_lb::health {

/// Looks a name up again and again, and tells which addresses it has whenever that changes. A lookup that fails, or
/// finds nothing, changes nothing. Lives on the control thread; lookups themselves don't block it.
class discovery {
public:
    /// The addresses as endpoints, each once, in a stable order. Never empty.
    using found_handler = std::function<void(const std::vector<endpoint>&)>;
    using lookup =
        std::function<boost::asio::awaitable<result<std::vector<socket_address>>>(const endpoint&, time_point)>;

    /// `how`: the system's resolver if it is left out.
    discovery(boost::asio::any_io_executor control, std::string pool, config::discovery settings,
              metrics::instruments& instruments, found_handler found, lookup how = resolve);

    void start();
    /// Nothing is told any more, also of a lookup that has just ended.
    void cancel()
    {
        cancelled_ = true;
        tasks_.cancel();
    }
    boost::asio::awaitable<void> join() { return tasks_.join(); }

private:
    boost::asio::awaitable<void> look_forever();
    void looked_up(const result<std::vector<socket_address>>& found);

    boost::asio::any_io_executor control_;
    const std::string pool_;
    const config::discovery settings_;
    metrics::instruments& instruments_;
    const found_handler found_;
    const lookup lookup_;
    std::vector<endpoint> known_;
    bool failing_ = false;
    bool cancelled_ = false;
    task_group tasks_;
};

/// What a worker with this address is called: `10.0.0.7:1234`, `[fd00::7]:1234`.
std::string discovered_name(const endpoint& address);

/// The addresses as endpoints, each once, sorted.
std::vector<endpoint> endpoints_of(const std::vector<socket_address>& addresses);

}  // namespace buildkit_lb::health
