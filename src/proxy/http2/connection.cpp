#include "http2/connection.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <string>
#include <utility>
#include <vector>

namespace buildkit_lb::http2 {
namespace {

namespace asio = boost::asio;
using io_error = boost::system::error_code;

/// What is read, and what is written, before others on the thread get their turn.
constexpr std::size_t read_round = 256 * 1024;
constexpr std::size_t write_round = 1024 * 1024;
/// What is gathered for the kernel at once.
constexpr std::size_t write_batch = 256 * 1024;
/// A block with less room than this is not read into any more.
constexpr std::size_t least_room = 8 * 1024;
/// How long the peer's last bytes are waited for after our last ones. Closing a socket with unread bytes resets it,
/// and the peer might never see the GOAWAY.
constexpr std::chrono::seconds linger{1};
/// How long a peer that broke the rules gets to take what lies before the GOAWAY.
constexpr std::chrono::seconds last_words{5};

}  // namespace

class connection::impl final : public engine_handler {
public:
    impl(std::unique_ptr<byte_transport> transport, role as, const options& limits, engine_handler& handler)
        : transport_{std::move(transport)},
          user_{handler},
          changed_{transport_->executor(), asio::steady_timer::time_point::max()},
          engine_{as, limits, *this},
          idle_since_{clock::now()}
    {
    }

    asio::awaitable<void> run()
    {
        // Cancelled or not, this goes on until everything has come back; our caller's setting is restored after it.
        const bool throws = co_await asio::this_coro::throw_if_cancelled();
        co_await asio::this_coro::throw_if_cancelled(false);
        flush();
        wait_readable();
        while (!ended_ || outstanding_ > 0) {
            const auto [error] = co_await changed_.async_wait(asio::as_tuple(asio::use_awaitable));
            const auto state = co_await asio::this_coro::cancellation_state;
            if (close_asked_ || !error || state.cancelled() != asio::cancellation_type::none) {
                end(!error ? "the peer does not close" : "closed");
            }
        }
        co_await asio::this_coro::throw_if_cancelled(throws);
    }

    void close()
    {
        close_asked_ = true;
        changed_.cancel();
    }

    void close_gracefully()
    {
        if (!closing_) {
            closing_ = true;
            engine_.goaway(error_code::no_error);
        }
    }

    void give_up(std::string_view why) { lose(why); }

    void terminate(error_code code)
    {
        told_ = true;
        changed_.expires_after(last_words);
        engine_.terminate(code);
    }

    bool ended() const { return ended_ || close_asked_; }

    // What the engine says goes on to the user, but for the one thing that is ours.
    stream_handler* on_request(stream_ref stream, header_list headers, bool end_stream) override
    {
        return user_.on_request(stream, std::move(headers), end_stream);
    }
    void on_goaway(const goaway_info& info) override { user_.on_goaway(info); }
    void on_settings(const peer_settings& settings) override { user_.on_settings(settings); }
    void on_error(const connection_error& error) override
    {
        told_ = true;
        changed_.expires_after(last_words);
        user_.on_error(error);
    }
    void on_refused(std::string_view kind) override { user_.on_refused(kind); }
    void on_output_ready() override
    {
        if (!reading_ && !blocked_) {
            post_flush();
        }
    }

    http2::engine& engine() { return engine_; }

    time_point idle_since() const { return idle_since_; }
    std::uint64_t bytes_in() const { return bytes_in_; }
    std::uint64_t bytes_out() const { return bytes_out_; }

private:
    template <void (impl::*Member)(const io_error&)>
    byte_transport::callback calling()
    {
        ++outstanding_;
        return {[](void* context, const io_error& error) {
                    impl& self = *static_cast<impl*>(context);
                    --self.outstanding_;
                    (self.*Member)(error);
                    if (self.ended_ && self.outstanding_ == 0) {
                        self.changed_.cancel();
                    }
                },
                this};
    }

    void wait_readable()
    {
        if (!ended_) {
            transport_->wait_readable(calling<&impl::on_readable>());
        }
    }

    void on_readable(const io_error& error)
    {
        if (ended_) {
            return;
        }
        if (error) {
            lose(error.message());
            return;
        }
        reading_ = true;
        const std::string problem = read();
        reading_ = false;
        if (!problem.empty()) {
            lose(problem);
            return;
        }
        flush();
        wait_readable();
    }

    /// One round of reading. Returns why there will be no other, or nothing.
    std::string read()
    {
        std::size_t round = 0;
        bool drained = false;
        while (!drained && round < read_round) {
            if (block_.capacity() - used_ < least_room) {
                block_ = buffer_block::make(buffer_block::read_block_size);
                used_ = 0;
            }
            const auto got = transport_->read(block_.bytes().subspan(used_));
            if (got.error == asio::error::would_block) {
                break;
            }
            if (got.error) {
                return got.error.message();
            }
            if (got.bytes == 0) {
                return "closed by the peer";
            }
            drained = got.drained;
            round += got.bytes;
            if (!lingering_) {
                const std::size_t from = used_;
                used_ += got.bytes;
                engine_.receive(buffer_slice{block_, from, got.bytes});
            }
            if (block_.unique()) {
                used_ = 0;
            }
        }
        if (round > 0) {
            bytes_in_ += round;
            idle_since_ = clock::now();
        }
        if (block_.unique()) {
            block_ = {};  // an idle connection holds no memory for reading
            used_ = 0;
        }
        return {};
    }

    void post_flush()
    {
        if (flush_posted_ || ended_) {
            return;
        }
        flush_posted_ = true;
        asio::post(transport_->executor(), [flush = calling<&impl::on_flush>()] { flush.call(flush.context, {}); });
    }

    void on_flush(const io_error&)
    {
        flush_posted_ = false;
        flush();
    }

    void on_writable(const io_error& error)
    {
        blocked_ = false;
        if (error && !ended_) {
            lose(error.message());
            return;
        }
        flush();
    }

    /// Sends what the engine has, until the kernel takes no more.
    void flush()
    {
        std::size_t round = 0;
        bool more = true;
        while (!ended_ && !blocked_ && !lingering_ && more) {
            if (sent_ == out_.size()) {
                out_.clear();
                sent_ = 0;
                more = engine_.collect(out_, write_batch) >= write_batch;
                if (out_.empty()) {
                    break;
                }
            }
            const auto wrote = transport_->write(std::span{out_}.subspan(sent_));
            if (wrote.error == asio::error::would_block) {
                blocked_ = true;
                transport_->wait_writable(calling<&impl::on_writable>());
                break;
            }
            if (wrote.error) {
                lose(wrote.error.message());
                return;
            }
            round += wrote.bytes;
            advance(wrote.bytes);
            more = more || sent_ < out_.size();
            if (more && round >= write_round) {
                post_flush();
                break;
            }
        }
        if (round > 0) {
            bytes_out_ += round;
            idle_since_ = clock::now();
        }
        if (!ended_ && !lingering_ && sent_ == out_.size() && engine_.finished()) {
            lingering_ = true;
            transport_->shutdown_write();
            changed_.expires_after(linger);  // wakes run(), which waits for this from now on
        }
    }

    void advance(std::size_t bytes)
    {
        while (bytes > 0) {
            buffer_slice& front = out_[sent_];
            if (front.size() > bytes) {
                front.remove_prefix(bytes);
                return;
            }
            bytes -= front.size();
            front = {};
            ++sent_;
        }
    }

    /// The peer or the network has ended it, which nobody has asked for: the user is told before the streams are.
    void lose(std::string_view why)
    {
        if (!ended_ && !lingering_ && !std::exchange(told_, true)) {
            user_.on_error({error_code::internal_error, "lost", why});
        }
        end(why);
    }

    /// Never from inside an event of the engine.
    void end(std::string_view why)
    {
        if (ended_) {
            return;
        }
        ended_ = true;
        transport_->close();
        engine_.connection_lost(why);
        out_.clear();
        sent_ = 0;
        block_ = {};
        changed_.cancel();
    }

    std::unique_ptr<byte_transport> transport_;
    engine_handler& user_;
    asio::steady_timer changed_;  // run() waits on it: cancelled when something has changed
    http2::engine engine_;

    buffer_block block_;    // being read into
    std::size_t used_ = 0;  // of block_
    std::vector<buffer_slice> out_;
    std::size_t sent_ = 0;  // slices of out_ that the kernel has taken
    int outstanding_ = 0;   // waits and posted calls that will come back to us
    bool reading_ = false;  // a flush follows anyway
    bool blocked_ = false;  // the kernel takes no more for now
    bool flush_posted_ = false;
    bool lingering_ = false;  // all is said; waiting for the peer to close
    bool closing_ = false;
    bool close_asked_ = false;
    bool ended_ = false;
    bool told_ = false;  // the user knows why it will end

    time_point idle_since_;
    std::uint64_t bytes_in_ = 0;
    std::uint64_t bytes_out_ = 0;
};

connection::connection(asio::generic::stream_protocol::socket socket, role as, const options& limits,
                       engine_handler& handler)
    : connection{make_socket_transport(std::move(socket)), as, limits, handler}
{
}

connection::connection(std::unique_ptr<byte_transport> transport, role as, const options& limits,
                       engine_handler& handler)
    : impl_{std::make_unique<impl>(std::move(transport), as, limits, handler)}
{
}

connection::~connection() = default;

asio::awaitable<void> connection::run()
{
    return impl_->run();
}

http2::engine& connection::engine()
{
    return impl_->engine();
}

void connection::close()
{
    impl_->close();
}

void connection::close_gracefully()
{
    impl_->close_gracefully();
}

void connection::terminate(error_code code)
{
    impl_->terminate(code);
}

void connection::give_up(std::string_view why)
{
    impl_->give_up(why);
}

bool connection::closed() const
{
    return impl_->ended();
}

time_point connection::idle_since() const
{
    return impl_->idle_since();
}

std::uint64_t connection::bytes_in() const
{
    return impl_->bytes_in();
}

std::uint64_t connection::bytes_out() const
{
    return impl_->bytes_out();
}

}  // namespace buildkit_lb::http2
