#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "http2/engine.hpp"

namespace buildkit_lb::http2 {

class stream_relay;

/// What was received on a stream before it was handed to a relay.
struct held_input {
    std::vector<buffer_slice> data;
    std::optional<header_list> trailers;
    bool ended = false;        ///< on_end has been seen
    std::size_t consumed = 0;  ///< bytes of `data` whose credit was given back already
};

/// Watches a stream_relay and may change what passes. Outlives the relay. Called from inside engine events, so the
/// rule of re-entrancy of stream_handler holds.
class relay_observer {
public:
    /// What a relay does with a reset of the upstream stream.
    enum class on_loss { pass_on, handled };

    /// The answer's headers, before they are passed on.
    virtual void on_response(stream_relay&, header_list& /*headers*/, bool /*end_stream*/) {}
    /// A piece of the answer's body, before it is passed on.
    virtual void on_response_data(stream_relay&, const buffer_slice& /*data*/) {}
    /// The answer's trailers, before they are passed on.
    virtual void on_trailers(stream_relay&, header_list& /*trailers*/) {}
    /// The upstream stream was reset before its end. `pass_on`: so is the downstream stream, with the same code.
    /// `handled`: the observer answers the downstream stream itself, now or later.
    virtual on_loss on_upstream_reset(stream_relay&, const reset_info&) { return on_loss::pass_on; }
    /// The client has reset the downstream stream; the upstream stream is reset too.
    virtual void on_downstream_reset(stream_relay&, const reset_info&) {}
    /// Both streams are closed. The last event; the relay may be destroyed from inside it.
    virtual void on_relay_closed(stream_relay&) {}

protected:
    ~relay_observer() = default;
};

/// Couples a stream of one engine with a stream of another: a request that came downstream (server role) with the
/// same request upstream (client role). Headers, data, trailers, 1xx, ends and resets pass both ways; data by
/// reference, and its credit goes back to the sender when the other engine has taken it.
///
/// Pure: no I/O. Owned by the user, used by the thread of both engines. Destroyed before on_relay_closed, and then
/// before the engines, it resets what it relays.
class stream_relay {
public:
    /// `request` is a live stream of `downstream` whose answer has not ended. If it has begun (its headers were sent),
    /// say so with answer_begun().
    stream_relay(engine& downstream, stream_ref request, engine& upstream, relay_observer& observer);
    stream_relay(const stream_relay&) = delete;
    stream_relay& operator=(const stream_relay&) = delete;
    ~stream_relay();

    /// The answer's headers, and maybe data, were sent before the relay: the worker's own headers are not passed on.
    /// Before start().
    void answer_begun();

    /// Sends the request upstream and what was received of its body so far, and takes over the downstream stream.
    void start(const header_list& headers, held_input held, bool urgent = false);

    /// What handles the downstream stream from start() on: for engine_handler::on_request to return.
    stream_handler& downstream_handler();

    engine& downstream() const;
    engine& upstream() const;
    stream_ref downstream_stream() const;
    stream_ref upstream_stream() const;
    std::size_t bytes_up() const;    ///< request body bytes passed on
    std::size_t bytes_down() const;  ///< answer body bytes passed on
    bool response_started() const;   ///< the answer's headers were passed on

private:
    struct state;
    std::unique_ptr<state> state_;
};

}  // namespace buildkit_lb::http2
