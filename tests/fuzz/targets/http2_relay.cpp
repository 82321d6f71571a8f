#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "http2/stream_relay.hpp"
#include "support/http2_frames.hpp"
#include "support/http2_script.hpp"
#include "support/require.hpp"
#include "support/targets.hpp"
#include "support/watched.hpp"

namespace buildkit_lb::fuzz {
namespace {

constexpr std::size_t most_streams = 200;

/// A request that waits for a worker: what comes of it is kept.
class held_request final : public http2::stream_handler {
public:
    held_request(http2::stream_ref stream, http2::header_list with) : ref{stream}, headers{std::move(with)} {}

    void on_headers(http2::stream_ref, http2::header_list, bool) override { require(false, "servers get no answers"); }
    void on_data(http2::stream_ref, buffer_slice data) override { input.data.push_back(std::move(data)); }
    void on_trailers(http2::stream_ref, http2::header_list trailers) override { input.trailers = std::move(trailers); }
    void on_end(http2::stream_ref) override { input.ended = true; }
    void on_reset(http2::stream_ref, const http2::reset_info&) override {}
    void on_closed(http2::stream_ref) override { closed = true; }

    http2::stream_ref ref;
    http2::header_list headers;
    http2::held_input input;
    bool closed = false;
};

/// A proxy that relays every request, at once or later, between a hostile client and a hostile worker.
class proxy final : public http2::relay_observer {
public:
    explicit proxy(std::size_t piece)
        : piece_{piece},
          front_events_{*this},
          front_{http2::role::server, low_limits(), front_events_},
          back_{http2::role::client, low_limits(), back_events_}
    {
    }
    proxy(const proxy&) = delete;
    proxy& operator=(const proxy&) = delete;
    ~proxy()
    {
        front_.connection_lost();
        back_.connection_lost();
        require(closed_ == relays_.size(), "both sides lost: every relay is closed");
        start_held(false);
        require(front_.buffered() == 0 && back_.buffered() == 0, "relays give all credit back");
    }

    void receive(http2::role from, std::string_view bytes)
    {
        http2::engine& to = from == http2::role::client ? front_ : back_;
        in_pieces(bytes, piece_, [&to](buffer_slice piece) { to.receive(std::move(piece)); });
        require(to.buffered() <= low_limits().memory_budget, "what is held stays within the budget");
    }

    void collect(http2::role side, std::size_t most)
    {
        std::vector<buffer_slice> out;
        http2::engine& from = side == http2::role::client ? back_ : front_;
        while (from.collect(out, most) >= most) {
        }
        for (const buffer_slice& part : out) {
            (side == http2::role::client ? back_output_ : front_output_).feed(part.view());
        }
    }

    void lose(http2::role side) { (side == http2::role::client ? front_ : back_).connection_lost(); }

    /// From now on requests are held, or relayed as they come.
    void hold(bool on) { holds_ = on; }
    /// Relays what is held. `begun`: after an answer's headers of our own.
    void start_held(bool begun)
    {
        for (auto& one : std::exchange(held_, {})) {
            if (one->closed) {
                for (const buffer_slice& part : one->input.data) {
                    front_.consume(one->ref, part.size());
                }
                continue;
            }
            auto& made = relays_.emplace_back(std::make_unique<http2::stream_relay>(front_, one->ref, back_, *this));
            if (begun) {
                front_.submit_response(one->ref, {{":status", "200"}, {"content-type", "application/grpc"}}, false);
                made->answer_begun();
            }
            made->start(one->headers, std::move(one->input));
        }
    }
    /// From now on a request that its worker resets is answered by us.
    void answer_losses() { answers_losses_ = true; }

private:
    struct front_events final : http2::engine_handler {
        explicit front_events(proxy& p) : owner{p} {}
        http2::stream_handler* on_request(http2::stream_ref stream, http2::header_list headers, bool) override
        {
            return owner.accept(stream, std::move(headers));
        }
        proxy& owner;
    };
    struct back_events final : http2::engine_handler {
        http2::stream_handler* on_request(http2::stream_ref, http2::header_list, bool) override { return nullptr; }
    };

    http2::stream_handler* accept(http2::stream_ref stream, http2::header_list headers)
    {
        if (relays_.size() + held_.size() >= most_streams) {
            return nullptr;
        }
        if (holds_) {
            return held_.emplace_back(std::make_unique<held_request>(stream, std::move(headers))).get();
        }
        auto& made = relays_.emplace_back(std::make_unique<http2::stream_relay>(front_, stream, back_, *this));
        made->start(headers, {});
        return &made->downstream_handler();
    }

    on_loss on_upstream_reset(http2::stream_relay& r, const http2::reset_info&) override
    {
        if (!answers_losses_) {
            return on_loss::pass_on;
        }
        if (r.response_started()) {
            front_.submit_trailers(r.downstream_stream(), {{"grpc-status", "14"}});
        } else {
            front_.submit_response(r.downstream_stream(), {{":status", "200"}, {"grpc-status", "14"}}, true);
        }
        front_.reset_when_sent(r.downstream_stream(), http2::error_code::no_error);
        return on_loss::handled;
    }

    void on_relay_closed(http2::stream_relay& r) override
    {
        ++closed_;
        for (auto& one : relays_) {
            if (one.get() == &r) {
                one.reset();
                return;
            }
        }
        require(false, "a relay is closed once");
    }

    std::size_t piece_;
    bool holds_ = false;
    bool answers_losses_ = false;
    front_events front_events_;
    back_events back_events_;
    http2::engine front_;
    http2::engine back_;
    output_check front_output_{http2::role::server};
    output_check back_output_{http2::role::client};
    std::vector<std::unique_ptr<held_request>> held_;
    std::vector<std::unique_ptr<http2::stream_relay>> relays_;
    std::size_t closed_ = 0;
};

}  // namespace

void http2_relay(std::string_view input)
{
    // Operations as in http2_frames.hpp, a bit above them says which side; 15 collects, 16 loses a side, 17 says
    // whether requests are held, 18 relays those that are, 19 lets lost ones be answered.
    fuzz_input script{input};
    const std::uint8_t how = script.byte();
    proxy p{piece_size(how)};
    frame_writer client{http2::role::client};
    frame_writer worker{http2::role::server};
    p.receive(http2::role::client, client.beginning());
    p.receive(http2::role::server, worker.beginning());
    while (!script.empty()) {
        const std::uint8_t choice = script.byte();
        const http2::role side = (choice & 0x80U) != 0 ? http2::role::server : http2::role::client;
        const std::size_t op = (choice & 0x7fU) % (frame_ops + 5);
        if (op < frame_ops) {
            frame_writer& frames = side == http2::role::client ? client : worker;
            p.receive(side, frames.write(static_cast<frame_op>(op), script));
        } else if (op == frame_ops) {
            p.collect(side, telling_size(script.byte()) + 1);
        } else if (op == frame_ops + 1) {
            p.lose(side);
        } else if (op == frame_ops + 2) {
            p.hold(side == http2::role::client);
        } else if (op == frame_ops + 3) {
            p.start_held(side == http2::role::server);
        } else {
            p.answer_losses();
        }
    }
    p.collect(http2::role::client, 65536);
    p.collect(http2::role::server, 65536);
}

}  // namespace buildkit_lb::fuzz
