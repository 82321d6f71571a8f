#include "state/codec.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <utility>

namespace buildkit_lb::state {
namespace {

using nlohmann::json;

constexpr const char* version_name = "buildkit_lb_state";

std::string json_text(std::string_view text)
{
    // A key may hold any bytes. One that is no UTF-8 is not found again, which costs a cold build.
    return json(text).dump(-1, ' ', false, json::error_handler_t::replace);
}

std::string seconds_of(wall_time t)
{
    return std::to_string(std::chrono::duration_cast<std::chrono::seconds>(t.time_since_epoch()).count());
}

wall_time time_of(const json& seconds)
{
    // The clock can't hold every number: what is beyond these has expired by far, or is as good as now.
    constexpr std::int64_t most = 4'102'444'800;  // the year 2100
    const bool beyond = seconds.is_number_unsigned() && seconds.get<std::uint64_t>() > std::uint64_t{most};
    const std::int64_t value = beyond ? most : seconds.get_ref<const json::number_integer_t&>();
    return wall_time{std::chrono::seconds{std::max<std::int64_t>(value, 0)}};
}

saved_key read_key(const json& from)
{
    saved_key k;
    from.at("key").get_to(k.key);
    for (const json& w : from.at("warm")) {
        saved_warmth warm;
        w.at("worker").get_to(warm.worker);
        warm.built = time_of(w.at("built"));
        w.at("cached").get_to(warm.cached_share);
        k.workers.push_back(std::move(warm));
    }
    return k;
}

saved_pool read_pool(const std::string& name, const json& from)
{
    saved_pool pool;
    pool.name = name;
    for (const json& k : from.at("keys")) {
        pool.keys.push_back(read_key(k));
    }
    from.at("workers").get_to(pool.addresses);
    from.at("drained").get_to(pool.drained);
    return pool;
}

}  // namespace

std::string encoder::begin(wall_time now)
{
    return "{\"" + std::string{version_name} + "\":" + std::to_string(format_version) +
           ",\"written\":" + seconds_of(now) + ",\"pools\":{";
}

std::string encoder::begin_pool(std::string_view name)
{
    first_key_ = true;
    return (std::exchange(first_pool_, false) ? "\n" : ",\n") + json_text(name) + ":{\"keys\":[";
}

std::string encoder::key(const saved_key& k)
{
    std::string out =
        (std::exchange(first_key_, false) ? "\n{\"key\":" : ",\n{\"key\":") + json_text(k.key) + ",\"warm\":[";
    for (const auto& w : k.workers) {
        // The share in thousandths: more digits would say nothing.
        const auto share = std::lround(std::min(std::max(w.cached_share, 0.0), 1.0) * 1000);
        std::string digits = std::to_string(share % 1000);
        digits.insert(0, 3 - digits.size(), '0');
        out += (&w == k.workers.data() ? "{\"worker\":" : ",{\"worker\":") + json_text(w.worker) +
               ",\"built\":" + seconds_of(w.built) + ",\"cached\":" + std::to_string(share / 1000) + "." + digits + "}";
    }
    return out + "]}";
}

std::string encoder::end_pool(const std::map<std::string, std::string>& addresses,
                              const std::vector<std::string>& drained)
{
    return "\n],\"workers\":" + json(addresses).dump(-1, ' ', false, json::error_handler_t::replace) +
           ",\"drained\":" + json(drained).dump(-1, ' ', false, json::error_handler_t::replace) + "}";
}

std::string encoder::end()
{
    return "\n}}\n";
}

checked<std::vector<saved_pool>> decode(std::string_view text)
{
    std::vector<saved_pool> pools;
    try {
        const json document = json::parse(text);
        const auto version = document.at(version_name).get_ref<const json::number_integer_t&>();
        if (version != format_version) {
            return complaint{"has version " + std::to_string(version) +
                             " of the format, and this program reads version " + std::to_string(format_version)};
        }
        for (const auto& [name, pool] : document.at("pools").items()) {
            pools.push_back(read_pool(name, pool));
        }
    } catch (const json::exception& e) {
        return complaint{std::string{"is damaged: "} + e.what()};
    }
    return pools;
}

}  // namespace buildkit_lb::state
