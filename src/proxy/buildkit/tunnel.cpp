#include "proxy/buildkit/tunnel.hpp"

#include <boost/asio/post.hpp>
#include <utility>

namespace buildkit_lb::proxy {
namespace {

// What may wait in the outer stream: enough to keep a fast link busy between two rounds of the thread.
constexpr std::size_t max_waiting_output = 512 * 1024;

}  // namespace

tunnel::tunnel(boost::asio::any_io_executor executor, http2::engine& outer, http2::engine& inner, events on)
    : executor_{std::move(executor)}, outer_{&outer}, inner_{&inner}, on_{std::move(on)}
{
}

void tunnel::schedule_flush()
{
    if (flush_scheduled_ || inner_ == nullptr || !stream_) {
        return;
    }
    flush_scheduled_ = true;
    boost::asio::post(executor_, [self = shared_from_this()] {
        self->flush_scheduled_ = false;
        self->flush();
    });
}

void tunnel::flush()
{
    while (inner_ != nullptr && outer_->alive(stream_) && outer_->queued(stream_) < max_waiting_output) {
        output_.clear();
        const std::size_t count = inner_->collect(output_, max_tunnel_message - 1024);
        if (count == 0) {
            break;
        }
        outer_->send_data(stream_, tunnel_message_head(count));
        for (auto& part : output_) {
            outer_->send_data(stream_, std::move(part));
        }
    }
    output_.clear();
}

void tunnel::detach()
{
    inner_ = nullptr;
    on_ = {};
}

void tunnel::on_headers(http2::stream_ref, http2::header_list, bool) {}

void tunnel::on_data(http2::stream_ref stream, buffer_slice data)
{
    outer_->consume(stream, data.size());
    if (inner_ == nullptr || ended_) {
        return;
    }
    if (!std::exchange(spoke_, true) && on_.on_first_bytes) {
        on_.on_first_bytes();
    }
    input_.clear();
    const bool understood = reader_.read(std::move(data), input_);
    for (auto& part : input_) {
        if (inner_ != nullptr) {
            inner_->receive(std::move(part));
        }
    }
    input_.clear();
    if (!understood) {
        end();
    }
}

void tunnel::on_end(http2::stream_ref)
{
    end();
}

void tunnel::end()
{
    if (!std::exchange(ended_, true) && on_.on_end) {
        const auto tell = on_.on_end;
        tell();
    }
}

void tunnel::on_closed(http2::stream_ref)
{
    end();
    stream_ = {};
    if (const auto tell = std::exchange(on_, {}).on_closed) {
        tell();
    }
}

}  // namespace buildkit_lb::proxy
