#pragma once

#include <cstddef>
#include <cstdint>

#include "http2/options.hpp"

namespace buildkit_lb::http2 {

/// How much a peer may send: windows of streams, credit of the connection, and the memory both may cost. Pure; owned
/// by an engine, which turns what is returned here into WINDOW_UPDATE frames. The rules are in engine's comment.
class receive_budget {
public:
    /// The receiving half of one stream.
    struct stream_window {
        std::uint32_t target = 0;      ///< the window's size: credit, credit owed and unconsumed bytes make it up
        std::int64_t credit = 0;       ///< what the peer may still send
        std::size_t unconsumed = 0;    ///< bytes received and not consumed
        std::size_t extra = 0;         ///< charged for being above the initial window
        std::size_t since_growth = 0;  ///< bytes consumed since the window last grew
        bool ended = false;            ///< the peer sends nothing more
    };

    explicit receive_budget(const options& limits);

    void open(stream_window& w) const;
    /// The peer has sent `bytes` of body on the stream.
    void received(stream_window& w, std::size_t bytes);
    /// Body of a stream nobody reads any more: returned to the connection, charged to nothing.
    void received_unwanted(std::size_t bytes) { owed_ += bytes; }
    /// `bytes` (at most w.unconsumed) were passed on. Returns the credit to send to the peer now: 0, or at least a
    /// quarter of the window.
    std::uint32_t consumed(stream_window& w, std::size_t bytes);
    /// The peer has ended the stream: its window costs nothing more, what is unconsumed stays charged.
    void ended(stream_window& w);
    /// The stream was given up with all that is unconsumed.
    void abandoned(stream_window& w);

    /// The connection's credit that may be returned to the peer now; counts as returned.
    std::size_t take_connection_credit();

    std::size_t buffered() const { return buffered_; }
    std::size_t extra() const { return extra_; }
    /// What the peer may send on all streams together.
    std::size_t connection_credit() const { return connection_window_ - owed_; }
    std::uint32_t connection_window() const { return static_cast<std::uint32_t>(connection_window_); }

private:
    bool over() const { return buffered_ + extra_ > budget_; }
    void charge_extra(stream_window& w);

    std::size_t budget_;
    std::uint32_t initial_;
    std::uint32_t largest_;
    std::size_t connection_window_;
    std::size_t buffered_ = 0;
    std::size_t extra_ = 0;
    std::size_t owed_ = 0;  // connection credit: received and not returned
};

}  // namespace buildkit_lb::http2
