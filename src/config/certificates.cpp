#include "config/certificates.hpp"

#include "tls/context.hpp"

namespace buildkit_lb::config {
namespace {

template <class Made>
void report_problem(const Made& made, const std::string& section, reading& in)
{
    if (!made) {
        in.report(section + "." + made.error().key, made.error().text);
    }
}

}  // namespace

void check_certificates(const root& r, reading& in)
{
    for (std::size_t i = 0; i < r.listeners.size(); ++i) {
        const auto& files = r.listeners[i].tls;
        // One that lacks a key has been reported.
        if (files && !files->cert.empty() && !files->key.empty()) {
            report_problem(tls::server_context::make(*files, tls::inner_protocol::http2),
                           "listeners[" + std::to_string(i) + "].tls", in);
        }
    }
    for (std::size_t i = 0; i < r.pools.size(); ++i) {
        const auto& files = r.pools[i].tls;
        if (files && files->cert.empty() == files->key.empty()) {
            report_problem(tls::client_context::make(*files), "pools[" + std::to_string(i) + "].tls", in);
        }
    }
}

}  // namespace buildkit_lb::config
