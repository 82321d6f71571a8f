#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/text.hpp"

namespace buildkit_lb::proxy {

/// Clients that dialled one name are served by another service of the same listener: another pool.
template <class Service>
struct host_route {
    std::string host;  ///< in lower case; `*.example.test` stands for every name below
    Service* served_by;
};

/// The service of the very name, else of the longest pattern that means it, else `otherwise`. `host` is in lower case.
template <class Service>
Service& find_by_host(const std::vector<host_route<Service>>& routes, std::string_view host, Service& otherwise)
{
    Service* best = &otherwise;
    std::size_t best_length = 0;
    for (const auto& route : routes) {
        if (route.host == host) {
            return *route.served_by;
        }
        if (route.host.size() > best_length && host_matches(host, route.host)) {
            best = route.served_by;
            best_length = route.host.size();
        }
    }
    return *best;
}

}  // namespace buildkit_lb::proxy
