#pragma once

#include <map>
#include <memory>
#include <string>

#include "config/config.hpp"
#include "tls/context.hpp"

namespace buildkit_lb::app {

/// The TLS contexts of all listeners and pools, made from the files that a configuration names. Immutable; replaced
/// whole when files or configuration have changed. On the control thread, which reads the files.
class certificates {
public:
    using server_ptr = std::shared_ptr<const tls::server_context>;
    using client_ptr = std::shared_ptr<const tls::client_context>;

    certificates() = default;
    /// Takes what has not changed over from `before`: sessions that clients and workers remember stay good. Throws
    /// std::runtime_error naming the file and the remedy.
    certificates(const config::root& settings, const certificates& before);

    /// Null: in the clear.
    server_ptr of_listener(const std::string& name) const;
    client_ptr of_pool(const std::string& name) const;

    /// Differs from what it was when a file that `settings` name has been changed or replaced.
    static std::string files_state(const config::root& settings);

private:
    template <class Files, class Context>
    struct made {
        Files files;
        std::string state;
        std::shared_ptr<const Context> context;
    };

    std::map<std::string, made<tls::server_files, tls::server_context>> listeners_;
    std::map<std::string, made<tls::client_files, tls::client_context>> pools_;
};

}  // namespace buildkit_lb::app
