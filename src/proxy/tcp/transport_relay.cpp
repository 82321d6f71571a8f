#include "proxy/tcp/transport_relay.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

namespace buildkit_lb::proxy {

namespace asio = boost::asio;

namespace {

// How many blocks one direction may pass on before the other connections of the thread get their turn.
constexpr int blocks_per_turn = 8;

}  // namespace

transport_relay::transport_relay(data_thread& on, std::unique_ptr<byte_transport> downstream,
                                 std::unique_ptr<byte_transport> upstream, duration idle_timeout)
    : downstream_{std::move(downstream)},
      upstream_{std::move(upstream)},
      up_{*this, *downstream_, *upstream_},
      down_{*this, *upstream_, *downstream_},
      changed_{downstream_->executor(), asio::steady_timer::time_point::max()},
      idle_timeout_{idle_timeout},
      last_activity_{clock::now()}
{
    on.watch(*this);
}

asio::awaitable<void> transport_relay::run(const byte_counter& received, const byte_counter& sent)
{
    up_.count = received;
    down_.count = sent;
    // Cancelled or not, this goes on until every callback has come back; our caller's setting is restored after it.
    const bool throws = co_await asio::this_coro::throw_if_cancelled();
    co_await asio::this_coro::throw_if_cancelled(false);
    pump(up_);
    pump(down_);
    while (!closed_ || outstanding_ > 0) {
        co_await changed_.async_wait(asio::as_tuple(asio::use_awaitable));
        const auto state = co_await asio::this_coro::cancellation_state;
        if (state.cancelled() != asio::cancellation_type::none) {
            close();
        }
    }
    co_await asio::this_coro::throw_if_cancelled(throws);
}

byte_transport::callback transport_relay::resuming(flow& f)
{
    ++outstanding_;
    return {&on_ready, &f};
}

void transport_relay::on_ready(void* context, const boost::system::error_code& error)
{
    flow& f = *static_cast<flow*>(context);
    transport_relay& self = f.relay;
    --self.outstanding_;
    if (error) {
        self.cut("reset");
    } else {
        self.pump(f);
    }
    if (self.closed_) {
        self.changed_.cancel();
    }
}

void transport_relay::pump(flow& f)
{
    for (int blocks = 0; !closed_ && !f.ended; ++blocks) {
        if (blocks == blocks_per_turn) {
            asio::post(f.from.executor(), [resume = resuming(f)] { resume.call(resume.context, {}); });
            return;
        }
        if (!(f.unsent.empty() ? read(f) : write(f))) {
            return;
        }
    }
}

/// False: not now, or never again.
bool transport_relay::read(flow& f)
{
    const buffer_block block = buffer_block::make(buffer_block::read_block_size);
    const auto got = f.from.read(block.bytes());
    if (got.error == asio::error::would_block) {
        f.from.wait_readable(resuming(f));
        return false;
    }
    if (got.error) {
        cut_after_reset_of(f.from);
        return false;
    }
    if (got.bytes == 0) {
        f.ended = true;
        f.to.shutdown_write();
        if (up_.ended && down_.ended) {
            close();
        }
        return false;
    }
    last_activity_ = clock::now();
    heard_worker_ = heard_worker_ || &f == &down_;
    f.unsent = buffer_slice{block, 0, got.bytes};
    return true;
}

bool transport_relay::write(flow& f)
{
    const auto wrote = f.to.write({&f.unsent, 1});
    if (wrote.error == asio::error::would_block) {
        f.to.wait_writable(resuming(f));
        return false;
    }
    if (wrote.error) {
        cut_after_reset_of(f.to);
        return false;
    }
    last_activity_ = clock::now();
    f.count(wrote.bytes);
    if (wrote.bytes == f.unsent.size()) {
        f.unsent = {};
    } else {
        f.unsent.remove_prefix(wrote.bytes);
    }
    return true;
}

void transport_relay::cut_after_reset_of(const byte_transport& side)
{
    reset_by_worker_ = reset_by_worker_ || (!closed_ && &side == upstream_.get() && !up_.ended);
    cut("reset");
}

void transport_relay::cut(const char* reason)
{
    if (!closed_) {
        cut_by_ = reason;
        close();
    }
}

void transport_relay::close()
{
    closed_ = true;
    downstream_->close();
    upstream_->close();
    changed_.cancel();
}

void transport_relay::check_idle(time_point now)
{
    if (!closed_ && now - last_activity_ >= idle_timeout_) {
        cut("idle");
    }
}

}  // namespace buildkit_lb::proxy
