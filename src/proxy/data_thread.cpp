#include "proxy/data_thread.hpp"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>

namespace buildkit_lb::proxy {

namespace asio = boost::asio;
using namespace std::chrono_literals;

namespace {

// One read takes at most this much. As large as what the kernel's default socket buffers hold at once.
constexpr std::size_t scratch_size = 256 * 1024;

// How often connections are looked at for idleness: idle_timeout is exact to this.
constexpr auto sweep_interval = 1s;

}  // namespace

data_thread::data_thread()
    : work_{asio::make_work_guard(context_)},
      scratch_(scratch_size),
      tasks_{context_.get_executor()},
      background_{context_.get_executor()},
      thread_{[this] { context_.run(); }}
{
    asio::post(context_, [this] { background_.spawn("idle sweep", sweep()); });
}

data_thread::~data_thread()
{
    stop();
}

asio::awaitable<void> data_thread::sweep()
{
    asio::steady_timer timer{context_};
    for (;;) {
        timer.expires_after(sweep_interval);
        const auto [error] = co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
        if (error) {
            co_return;
        }
        const auto now = clock::now();
        for (auto it = watched_.begin(); it != watched_.end();) {
            auto& connection = *it++;
            connection.check_idle(now);
        }
    }
}

void data_thread::begin_stop()
{
    tasks_.cancel();
    background_.cancel();
    auto joined = [](data_thread* self) -> asio::awaitable<void> {
        co_await self->tasks_.join();
        co_await self->background_.join();
        self->work_.reset();
    };
    asio::co_spawn(context_, joined(this), asio::detached);
}

void data_thread::stop()
{
    if (thread_.joinable()) {
        asio::post(context_, [this] { begin_stop(); });
        thread_.join();
    }
}

data_plane::data_plane(std::uint32_t threads)
{
    const std::uint32_t count = threads != 0 ? threads : std::max(1U, std::thread::hardware_concurrency());
    for (std::uint32_t i = 0; i < count; ++i) {
        threads_.push_back(std::make_unique<data_thread>());
    }
}

data_thread& data_plane::least_busy()
{
    return **std::min_element(threads_.begin(), threads_.end(),
                              [](const auto& a, const auto& b) { return a->connections() < b->connections(); });
}

std::uint32_t data_plane::connections() const
{
    std::uint32_t sum = 0;
    for (const auto& t : threads_) {
        sum += t->connections();
    }
    return sum;
}

void data_plane::begin_drain()
{
    for (const auto& t : threads_) {
        t->begin_drain();
    }
}

void data_plane::stop()
{
    for (const auto& t : threads_) {
        t->stop();
    }
}

}  // namespace buildkit_lb::proxy
