#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "http2/engine.hpp"

/// An HTTP/2 engine whose events are checked against what http2/events.hpp promises, whatever its peer sends.
namespace buildkit_lb::fuzz {

/// Bounds so low that a short input reaches them.
http2::options low_limits();

/// Gives `bytes` in pieces of that size, as a socket would; in 512 of them at most, for the sake of speed.
template <class Receiver>
void in_pieces(std::string_view bytes, std::size_t size, Receiver&& give)
{
    const buffer_slice whole = buffer_slice::copy_of(bytes);
    const std::size_t piece = std::max(size, whole.size() / 512 + 1);
    for (std::size_t at = 0; at < whole.size(); at += piece) {
        give(whole.subslice(at, std::min(piece, whole.size() - at)));
    }
}

/// Whether the bytes an engine sends are whole frames that its peer must accept: none above the usual size, none with
/// an unknown type.
class output_check {
public:
    explicit output_check(http2::role of) : preface_left_{of == http2::role::client ? 24U : 0U} {}
    void feed(std::string_view bytes);

private:
    std::size_t preface_left_;
    unsigned char header_[9] = {};
    std::size_t header_filled_ = 0;
    std::size_t payload_left_ = 0;
};

/// Checks the order of one stream's events.
class watched_stream final : public http2::stream_handler {
public:
    explicit watched_stream(bool answers_expected) : headers_come_{answers_expected} {}

    void on_informational(http2::stream_ref, http2::header_list) override;
    void on_headers(http2::stream_ref, http2::header_list, bool) override;
    void on_data(http2::stream_ref, buffer_slice data) override;
    void on_trailers(http2::stream_ref, http2::header_list) override;
    void on_end(http2::stream_ref) override;
    void on_taken(http2::stream_ref, std::size_t bytes) override;
    void on_reset(http2::stream_ref, const http2::reset_info&) override;
    void on_closed(http2::stream_ref) override;

    bool closed() const { return closed_; }

    http2::stream_ref ref;
    std::vector<buffer_slice> kept;  ///< data that was not consumed yet
    std::size_t sent = 0;            ///< bytes given to send_data

private:
    bool headers_come_;
    bool headers_ = false;
    bool trailers_ = false;
    bool ended_ = false;
    bool reset_ = false;
    bool closed_ = false;
    std::size_t taken_ = 0;
};

/// An engine, its streams and its peer's bytes.
class watched_engine final : public http2::engine_handler {
public:
    watched_engine(http2::role as, std::size_t piece);
    watched_engine(const watched_engine&) = delete;
    watched_engine& operator=(const watched_engine&) = delete;
    ~watched_engine();

    http2::stream_handler* on_request(http2::stream_ref stream, http2::header_list headers, bool end_stream) override;
    void on_goaway(const http2::goaway_info&) override;
    void on_error(const http2::connection_error& error) override;

    /// Gives the engine what its peer sends, in pieces of the size that the constructor was told.
    void receive(std::string_view bytes);
    /// Takes what the engine sends. False: there is no more at the moment.
    bool collect(std::size_t most);
    /// A new request of ours.
    void request(bool end_stream, bool urgent);
    /// Takes all that the engine has to send.
    void finish();
    /// The connection is over: every stream must be closed.
    void lose();

    bool has_streams() const { return !streams_.empty(); }
    watched_stream& stream(std::size_t choice) { return *streams_[choice % streams_.size()]; }
    /// Passes on what a stream has kept.
    void consume(watched_stream& s);

    http2::engine engine;

private:
    void check_budget() const;

    std::size_t piece_;
    std::vector<std::unique_ptr<watched_stream>> streams_;
    output_check output_;
    int errors_ = 0;
};

}  // namespace buildkit_lb::fuzz
