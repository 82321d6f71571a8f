#include "admin/drain_request.hpp"

#include <string_view>
#include <utility>

#include "config/scalars.hpp"

namespace buildkit_lb::admin {
namespace {

using namespace std::chrono_literals;

constexpr auto longest = 168h;

complaint unknown(std::string_view key, std::string_view allowed)
{
    return complaint{"'" + std::string{key} + "' is not a parameter of this call; allowed: " + std::string{allowed}};
}

}  // namespace

checked<drain_request> read_drain_request(const std::map<std::string, std::string>& query)
{
    drain_request wanted;
    bool timeout_given = false;
    for (const auto& [key, value] : query) {
        if (key == "pool") {
            wanted.pool = value;
        } else if (key == "wait") {
            if (value != "0" && value != "1" && value != "false" && value != "true") {
                return complaint{"wait: '" + value + "' is not 0 or 1"};
            }
            wanted.wait = value == "1" || value == "true";
        } else if (key == "timeout") {
            const auto time = config::parse_duration(value);
            if (!time) {
                return complaint{"timeout: " + time.error().text + "; allowed: a duration from 0s to 168h, such as 2h"};
            }
            if (*time > longest) {
                return complaint{"timeout: '" + value + "' is out of range; allowed: a duration from 0s to 168h"};
            }
            wanted.timeout = *time;
            timeout_given = true;
        } else {
            return unknown(key, "wait, timeout, pool");
        }
    }
    if (timeout_given && !wanted.wait) {
        return complaint{"timeout is for a wait: add wait=1"};
    }
    return wanted;
}

checked<std::string> read_undrain_request(const std::map<std::string, std::string>& query)
{
    std::string pool;
    for (const auto& [key, value] : query) {
        if (key != "pool") {
            return unknown(key, "pool");
        }
        pool = value;
    }
    return checked<std::string>{boost::system::in_place_value, std::move(pool)};
}

}  // namespace buildkit_lb::admin
