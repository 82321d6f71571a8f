#include "support/watched.hpp"

#include <algorithm>
#include <chrono>

#include "support/require.hpp"

namespace buildkit_lb::fuzz {
namespace {

constexpr std::size_t largest_frame = 16384;
constexpr unsigned char known_types = 10;
constexpr std::size_t most_streams = 200;  // an input can't make more that differ

}  // namespace

http2::options low_limits()
{
    http2::options limits;
    limits.max_concurrent_streams = 8;
    limits.assumed_peer_streams = 4;
    limits.initial_stream_window = 16 * 1024;
    limits.max_stream_window = 64 * 1024;
    limits.connection_window = 96 * 1024;
    limits.memory_budget = 128 * 1024;
    limits.max_header_list = 32 * 1024;
    limits.max_header_block = 80 * 1024;
    limits.max_continuations = 6;
    limits.max_outbound_acks = 20;
    limits.max_settings_entries = 8;
    limits.floods = {.resets = 1,
                     .pings = 4,
                     .settings = 4,
                     .window_updates = 4,
                     .priorities = 2,
                     .empty_frames = 2,
                     .burst_seconds = 10};
    // Time stands still: an input does the same whenever it runs.
    limits.now = []() noexcept { return time_point{std::chrono::hours{1}}; };
    return limits;
}

// ---- output_check ----

void output_check::feed(std::string_view bytes)
{
    const std::size_t preface = std::min(preface_left_, bytes.size());
    preface_left_ -= preface;
    bytes.remove_prefix(preface);
    while (!bytes.empty()) {
        if (payload_left_ > 0) {
            const std::size_t count = std::min(payload_left_, bytes.size());
            payload_left_ -= count;
            bytes.remove_prefix(count);
            continue;
        }
        header_[header_filled_++] = static_cast<unsigned char>(bytes.front());
        bytes.remove_prefix(1);
        if (header_filled_ == sizeof header_) {
            header_filled_ = 0;
            payload_left_ =
                static_cast<std::size_t>(header_[0]) << 16U | static_cast<std::size_t>(header_[1]) << 8U | header_[2];
            require(payload_left_ <= largest_frame, "no frame that we send is larger than its peer must take");
            require(header_[3] < known_types, "every frame that we send has a known type");
        }
    }
}

// ---- watched_stream ----

void watched_stream::on_informational(http2::stream_ref, http2::header_list)
{
    require(headers_come_ && !headers_ && !reset_ && !closed_, "1xx comes before the answer only");
}

void watched_stream::on_headers(http2::stream_ref, http2::header_list headers, bool)
{
    require(headers_come_ && !headers_ && !ended_ && !reset_ && !closed_, "an answer begins once");
    require(!headers.get(":status").empty(), "an answer has a status");
    headers_ = true;
}

void watched_stream::on_data(http2::stream_ref, buffer_slice data)
{
    require(headers_ == headers_come_ && !trailers_ && !ended_ && !reset_ && !closed_, "data comes within the body");
    kept.push_back(std::move(data));
}

void watched_stream::on_trailers(http2::stream_ref, http2::header_list)
{
    require(headers_ == headers_come_ && !trailers_ && !ended_ && !reset_ && !closed_,
            "trailers come once, before the end");
    trailers_ = true;
}

void watched_stream::on_end(http2::stream_ref)
{
    require(headers_ == headers_come_ && !ended_ && !reset_ && !closed_, "a direction ends once");
    ended_ = true;
}

void watched_stream::on_taken(http2::stream_ref, std::size_t bytes)
{
    taken_ += bytes;
    require(!closed_ && !reset_ && taken_ <= sent, "no more is taken than was given");
}

void watched_stream::on_reset(http2::stream_ref, const http2::reset_info&)
{
    require(!reset_ && !closed_, "a stream is reset once");
    reset_ = true;
}

void watched_stream::on_closed(http2::stream_ref)
{
    require(!closed_, "a stream is closed once");
    closed_ = true;
}

// ---- watched_engine ----

watched_engine::watched_engine(http2::role as, std::size_t piece)
    : engine{as, low_limits(), *this}, piece_{piece}, output_{as}
{
}

watched_engine::~watched_engine()
{
    lose();
}

http2::stream_handler* watched_engine::on_request(http2::stream_ref stream, http2::header_list headers, bool)
{
    require(engine.as() == http2::role::server, "clients get no requests");
    require(!headers.get(":method").empty(), "a request has a method");
    if (headers.find("x-refuse") || streams_.size() >= most_streams) {
        return nullptr;
    }
    auto& made = *streams_.emplace_back(std::make_unique<watched_stream>(false));
    made.ref = stream;
    return &made;
}

void watched_engine::on_goaway(const http2::goaway_info& info)
{
    require(info.last_stream_id >= 0, "numbers of streams are not negative");
}

void watched_engine::on_error(const http2::connection_error& error)
{
    require(++errors_ == 1 && !error.kind.empty(), "a connection fails once, for a reason");
}

void watched_engine::receive(std::string_view bytes)
{
    in_pieces(bytes, piece_, [this](buffer_slice piece) {
        engine.receive(std::move(piece));
        check_budget();
    });
}

bool watched_engine::collect(std::size_t most)
{
    std::vector<buffer_slice> out;
    const std::size_t count = engine.collect(out, most);
    std::size_t size = 0;
    for (const buffer_slice& part : out) {
        size += part.size();
        output_.feed(part.view());
    }
    require(size == count, "collect() says how many bytes it collected");
    check_budget();
    return count >= most;
}

void watched_engine::request(bool end_stream, bool urgent)
{
    if (streams_.size() >= most_streams) {
        return;
    }
    auto& made = *streams_.emplace_back(std::make_unique<watched_stream>(true));
    made.ref = engine.submit_request({{":method", "POST"},
                                      {":scheme", "http"},
                                      {":path", "/moby.buildkit.v1.Control/Solve"},
                                      {":authority", "worker"},
                                      {"te", "trailers"}},
                                     made, end_stream, urgent);
}

void watched_engine::consume(watched_stream& s)
{
    for (const buffer_slice& part : s.kept) {
        engine.consume(s.ref, part.size());
    }
    s.kept.clear();
}

void watched_engine::lose()
{
    engine.connection_lost("the test is over");
    for (const auto& s : streams_) {
        require(s->closed() && !engine.alive(s->ref), "every stream is closed at the end");
        consume(*s);
    }
    require(engine.open_streams() == 0 && engine.pending_streams() == 0 && engine.queued() == 0, "nothing is left");
    require(engine.buffered() == 0, "all credit is given back");
}

void watched_engine::finish()
{
    while (collect(65536)) {
    }
    require(!engine.failed() || engine.finished(), "a connection that failed has no use once its output is sent");
}

void watched_engine::check_budget() const
{
    require(engine.buffered() <= low_limits().memory_budget, "what is held stays within the budget");
}

}  // namespace buildkit_lb::fuzz
