#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <functional>
#include <memory>
#include <string_view>

#include "app/certificates.hpp"
#include "app/pool_unit.hpp"
#include "config/config.hpp"
#include "metrics/instruments.hpp"
#include "proxy/data_thread.hpp"
#include "proxy/listener.hpp"

namespace buildkit_lb::app {

/// A listener and what its connections need: their pools, and the settings as they were when they began. Made, changed
/// and destroyed on the control thread, after the last of its connections.
class listener_unit {
public:
    struct surroundings {
        boost::asio::any_io_executor control;
        proxy::data_plane& threads;
        metrics::instruments& instruments;
        const config::root& settings;
        const certificates& tls;
        /// The pool of a name that the configuration has.
        std::function<std::shared_ptr<pool_unit>(std::string_view)> find_pool;
        passed_sockets& passed;
        /// See proxy::listener_settings.
        std::function<bool()> too_large;
    };

    /// Binds. Throws std::runtime_error naming the address and the remedy when that fails.
    listener_unit(const config::listener& from, const surroundings& around);

    /// New connections come here from now on. Throws like the constructor.
    void listen() { listener_.listen(); }

    /// Begins to accept, and logs the address.
    void start();

    /// Takes a new configuration over that fits(): for connections from now on.
    void update(const config::listener& from, const surroundings& around);

    /// It differs only in what can be changed while the socket stays.
    bool fits(const config::listener& from) const;

    proxy::listener& socket() { return listener_; }

private:
    proxy::listener listener_;
};

}  // namespace buildkit_lb::app
