#include <memory>
#include <vector>

#include "http2/stream_relay.hpp"
#include "support/http2_frames.hpp"
#include "support/http2_script.hpp"
#include "support/require.hpp"
#include "support/targets.hpp"
#include "support/watched.hpp"

namespace buildkit_lb::fuzz {
namespace {

constexpr std::size_t most_relays = 200;

/// A proxy that relays every request, between a hostile client and a hostile worker.
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
        require(front_.buffered() == 0 && back_.buffered() == 0, "relays give all credit back");
    }

    void receive(http2::role from, std::string_view bytes)
    {
        http2::engine& to = from == http2::role::client ? front_ : back_;
        const buffer_slice whole = buffer_slice::copy_of(bytes);
        for (std::size_t at = 0; at < whole.size(); at += piece_) {
            to.receive(whole.subslice(at, std::min(piece_, whole.size() - at)));
        }
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

private:
    struct front_events final : http2::engine_handler {
        explicit front_events(proxy& p) : owner{p} {}
        http2::stream_handler* on_request(http2::stream_ref stream, http2::header_list headers, bool ended) override
        {
            return owner.relay(stream, headers, ended);
        }
        proxy& owner;
    };
    struct back_events final : http2::engine_handler {
        http2::stream_handler* on_request(http2::stream_ref, http2::header_list, bool) override { return nullptr; }
    };

    http2::stream_handler* relay(http2::stream_ref stream, const http2::header_list& headers, bool)
    {
        if (relays_.size() >= most_relays) {
            return nullptr;
        }
        auto& made = relays_.emplace_back(std::make_unique<http2::stream_relay>(front_, stream, back_, *this));
        made->start(headers, {});
        return &made->downstream_handler();
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
    front_events front_events_;
    back_events back_events_;
    http2::engine front_;
    http2::engine back_;
    output_check front_output_{http2::role::server};
    output_check back_output_{http2::role::client};
    std::vector<std::unique_ptr<http2::stream_relay>> relays_;
    std::size_t closed_ = 0;
};

}  // namespace

void http2_relay(std::string_view input)
{
    // Operations as in http2_script.hpp, a bit above them says which side; 15 collects, 16 loses a side.
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
        const std::size_t op = (choice & 0x7fU) % (frame_ops + 2);
        if (op < frame_ops) {
            frame_writer& frames = side == http2::role::client ? client : worker;
            p.receive(side, frames.write(static_cast<frame_op>(op), script));
        } else if (op == frame_ops) {
            p.collect(side, telling_size(script.byte()) + 1);
        } else {
            p.lose(side);
        }
    }
    p.collect(http2::role::client, 65536);
    p.collect(http2::role::server, 65536);
}

}  // namespace buildkit_lb::fuzz
