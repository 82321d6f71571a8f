#include "health/discovery.hpp"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "core/log.hpp"

namespace buildkit_lb::health {

namespace asio = boost::asio;

namespace {

// A name server that does not answer is not waited for longer than this, whatever the interval is.
constexpr auto longest_lookup = std::chrono::seconds{10};

}  // namespace

std::string discovered_name(const endpoint& address)
{
    constexpr std::string_view scheme = "tcp://";
    return address.to_string().substr(scheme.size());
}

std::vector<endpoint> endpoints_of(const std::vector<socket_address>& addresses)
{
    std::vector<endpoint> all;
    for (const auto& a : addresses) {
        if (auto parsed = parse_endpoint("tcp://" + to_string(a))) {
            all.push_back(std::move(*parsed));
        }
    }
    std::sort(all.begin(), all.end(), [](const endpoint& a, const endpoint& b) { return a.host < b.host; });
    all.erase(std::unique(all.begin(), all.end()), all.end());
    return all;
}

discovery::discovery(asio::any_io_executor control, std::string pool, config::discovery settings,
                     metrics::instruments& instruments, found_handler found, lookup how)
    : control_{control},
      pool_{std::move(pool)},
      settings_{std::move(settings)},
      instruments_{instruments},
      found_{std::move(found)},
      lookup_{std::move(how)},
      tasks_{control}
{
}

void discovery::start()
{
    tasks_.spawn("discovery", look_forever());
}

asio::awaitable<void> discovery::look_forever()
{
    asio::steady_timer timer{control_};
    for (;;) {
        const time_point deadline = clock::now() + longest_lookup;
        const auto found = co_await lookup_(settings_.dns, deadline);
        if (cancelled_ || (!found && found.error().code == errc::canceled)) {
            co_return;
        }
        looked_up(found);
        timer.expires_after(settings_.interval);
        const auto [error] = co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
        if (error) {
            co_return;
        }
    }
}

void discovery::looked_up(const result<std::vector<socket_address>>& found)
{
    auto now = found ? endpoints_of(*found) : std::vector<endpoint>{};
    if (now.empty()) {
        instruments_.discovery_failed(pool_);
        if (!std::exchange(failing_, true)) {
            log::warn("discovery failed: the workers found last stay",
                      {{"pool", pool_},
                       {"dns", settings_.dns.to_string()},
                       {"workers", known_.size()},
                       {"error", found ? "the name has no address" : found.error().detail}});
        }
        return;
    }
    if (std::exchange(failing_, false)) {
        log::info("discovery works again", {{"pool", pool_}, {"dns", settings_.dns.to_string()}});
    }
    if (now == known_) {
        return;
    }
    for (const auto& e : now) {
        if (std::find(known_.begin(), known_.end(), e) == known_.end()) {
            log::info("worker discovered", {{"pool", pool_}, {"worker", discovered_name(e)}});
        }
    }
    for (const auto& e : known_) {
        if (std::find(now.begin(), now.end(), e) == now.end()) {
            log::info("worker is not in the DNS any more", {{"pool", pool_}, {"worker", discovered_name(e)}});
        }
    }
    known_ = std::move(now);
    found_(known_);
}

}  // namespace buildkit_lb::health
