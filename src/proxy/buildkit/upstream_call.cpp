#include "proxy/buildkit/upstream_call.hpp"

#include <boost/asio/post.hpp>
#include <deque>
#include <utility>

#include "buildkit/grpc_framing.hpp"
#include "buildkit/inflate.hpp"

namespace buildkit_lb::proxy {

using buildkit::grpc_code;

/// Lives until the engine has closed it, whoever has given it up before.
class upstream_call::stream final : public http2::stream_handler, public std::enable_shared_from_this<stream> {
public:
    stream(boost::asio::any_io_executor executor, link_table::link_ptr on, std::function<void()> on_news)
        : executor_{std::move(executor)}, link_{std::move(on)}, on_news_{std::move(on_news)}
    {
    }

    void start(const http2::header_list& headers, buffer_slice message)
    {
        self_ = shared_from_this();
        ref_ = link_->engine().submit_request(headers, *this, false);
        link_->engine().send_data(ref_, std::move(message));
        link_->engine().end_stream(ref_);
    }

    void abandon()
    {
        on_news_ = nullptr;
        drop_input();
        if (!closed_) {
            link_->engine().reset(ref_, http2::error_code::cancel);
        }
    }

    std::optional<std::string> take()
    {
        auto taken = std::exchange(ready_, std::nullopt);
        if (taken) {
            read();
        }
        return taken;
    }

    bool has_message() const { return ready_.has_value(); }
    const buildkit::grpc_ending* ended() const { return ending_ && !ready_ ? &*ending_ : nullptr; }
    bool lost() const { return lost_; }
    bool was_reset() const { return reset_; }

private:
    void on_headers(http2::stream_ref, http2::header_list headers, bool end_stream) override
    {
        if (end_stream) {
            note_ending(headers);
        } else if (headers.get(":status") != "200") {
            set_ending(grpc_code::unknown, "HTTP status " + std::string{headers.get(":status")});
        }
    }

    void on_data(http2::stream_ref from, buffer_slice data) override
    {
        if (on_news_ == nullptr || ending_) {
            link_->engine().consume(from, data.size());
            return;
        }
        data.compact();
        unread_.push_back(std::move(data));
        read();
        news();
    }

    void on_trailers(http2::stream_ref, http2::header_list trailers) override { note_ending(trailers); }

    void on_end(http2::stream_ref) override
    {
        peer_ended_ = true;
        settle();
    }

    void on_reset(http2::stream_ref, const http2::reset_info& info) override
    {
        if (peer_ended_) {
            return;
        }
        lost_ = info.source == http2::reset_source::connection || info.unprocessed;
        reset_ = !lost_ && info.code != http2::error_code::cancel && info.code != http2::error_code::no_error;
        const std::string detail{info.detail};
        set_ending(grpc_code::unavailable, lost_ ? "the connection was lost" + (detail.empty() ? "" : ": " + detail)
                                                 : std::string{"the worker reset the call"});
    }

    void on_closed(http2::stream_ref) override
    {
        closed_ = true;
        settle();
        // The link may go with it, and its engine is what calls us.
        boost::asio::post(executor_, [gone = std::exchange(self_, nullptr)] {});
    }

    /// Reads until there is a message to take.
    void read()
    {
        while (!ready_ && !unread_.empty()) {
            std::string_view chunk = unread_.front().view();
            const std::size_t before = chunk.size();
            auto message = reader_.next(chunk);
            const std::size_t used = before - chunk.size();
            link_->engine().consume(ref_, used);
            unread_.front().remove_prefix(used);
            if (unread_.front().size() == 0) {
                unread_.pop_front();
            }
            if (!message) {
                broken(message.error());
            } else if (*message) {
                auto plain = buildkit::readable(std::move(**message), failure_source::upstream);
                if (plain) {
                    ready_ = std::move(*plain);
                } else {
                    broken(plain.error());
                }
            }
        }
        settle();
    }

    void broken(const failure& why)
    {
        set_ending(why.code == errc::too_large ? grpc_code::resource_exhausted : grpc_code::internal, why.detail);
        drop_input();
        link_->engine().reset(ref_, http2::error_code::cancel);
    }

    void drop_input()
    {
        for (const auto& slice : std::exchange(unread_, {})) {
            link_->engine().consume(ref_, slice.size());
        }
    }

    void note_ending(const http2::header_list& fields)
    {
        trailers_.emplace();
        trailers_->code = buildkit::parse_grpc_status(fields.get("grpc-status"));
        trailers_->message = buildkit::percent_decode(fields.get("grpc-message"));
        trailers_->details = fields.get("grpc-status-details-bin");
    }

    void set_ending(grpc_code code, std::string message)
    {
        if (!ending_) {
            ending_ = buildkit::grpc_ending{code, std::move(message), {}};
        }
        news();
    }

    /// The end is told after the last message was taken.
    void settle()
    {
        if (!ending_ && (peer_ended_ || closed_) && unread_.empty()) {
            ending_ =
                trailers_.value_or(buildkit::grpc_ending{grpc_code::internal, "the answer ended without a status", {}});
            news();
        }
    }

    void news()
    {
        if (on_news_) {
            on_news_();
        }
    }

    boost::asio::any_io_executor executor_;
    link_table::link_ptr link_;
    std::function<void()> on_news_;  // null: nobody wants to know any more
    std::shared_ptr<stream> self_;
    http2::stream_ref ref_;
    std::deque<buffer_slice> unread_;
    buildkit::message_reader reader_{failure_source::upstream};
    std::optional<std::string> ready_;
    std::optional<buildkit::grpc_ending> trailers_;
    std::optional<buildkit::grpc_ending> ending_;
    bool peer_ended_ = false;
    bool closed_ = false;
    bool lost_ = false;
    bool reset_ = false;
};

upstream_call::upstream_call(boost::asio::any_io_executor executor, link_table::link_ptr on,
                             const http2::header_list& headers, buffer_slice message, std::function<void()> on_news)
    : stream_{std::make_shared<stream>(std::move(executor), std::move(on), std::move(on_news))}
{
    stream_->start(headers, std::move(message));
}

upstream_call::~upstream_call()
{
    stream_->abandon();
}

std::optional<std::string> upstream_call::take()
{
    return stream_->take();
}

bool upstream_call::has_message() const
{
    return stream_->has_message();
}

const buildkit::grpc_ending* upstream_call::ended() const
{
    return stream_->ended();
}

bool upstream_call::was_reset() const
{
    return stream_->was_reset();
}

bool upstream_call::lost() const
{
    return stream_->lost();
}

http2::header_list own_request(const http2::header_list& of_client, std::string_view path)
{
    http2::header_list own = of_client;
    if (!path.empty()) {
        own.set(":path", path);
    }
    for (const std::string_view name : {"grpc-encoding", "content-length", "grpc-timeout"}) {
        own.erase(name);
    }
    return own;
}

}  // namespace buildkit_lb::proxy
