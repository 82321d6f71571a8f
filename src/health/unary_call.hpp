#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <grpcpp/channel.h>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "buildkit/grpc_status.hpp"
#include "core/endpoint.hpp"
#include "core/event.hpp"
#include "tls/context.hpp"

namespace buildkit_lb::health {

/// Keeps gRPC C++ loaded while it lives, so that a channel more or less does not start and end its threads. Destroy it
/// after the last channel, and not on a thread of gRPC's.
class grpc_library {
public:
    grpc_library();
    ~grpc_library();
    grpc_library(const grpc_library&) = delete;
    grpc_library& operator=(const grpc_library&) = delete;
};

/// A channel to a worker as probes need it: nothing is sent but calls (no keepalive, no bandwidth probes: a buildkitd
/// answers PINGs with GOAWAY), no proxy from the environment, no connection shared with another channel. It connects at
/// the first call, and gives up before calls that last for `timeout` do. `tls` is null for a worker in the clear.
std::shared_ptr<grpc::Channel> make_worker_channel(const endpoint& worker, duration timeout,
                                                   const tls::client_context* tls = nullptr);

/// After a call has failed the next one had better begin anew: a connection that has silently died would fail them all,
/// and a channel that can't connect answers with what it saw last. But gRPC 1.51 leaks the connection of a channel that
/// is dropped while the other side has yet to send its SETTINGS, if that does so later (a worker that hung for a
/// while): a channel that connects, or is about to, is kept. It soon has failed, or is of use.
void drop_unless_connecting(std::shared_ptr<grpc::Channel>& channel);

/// One unary call on a channel, running from construction on: bytes of a serialized message in, bytes out. gRPC's
/// threads do the work; this object and the coroutine that waits are on `executor`, which must run until finished() has
/// returned.
class unary_call {
public:
    struct outcome {
        buildkit::grpc_code code = buildkit::grpc_code::unknown;
        std::string message;     ///< of the status
        std::string response;    ///< serialized; of a call that is OK
        bool connected = false;  ///< the channel had a connection when the call ended
        bool canceled = false;   ///< the waiting task was cancelled, and the call with it
    };
    using metadata = std::vector<std::pair<std::string, std::string>>;

    /// `method` is a path such as `/moby.buildkit.v1.Control/Info`.
    unary_call(boost::asio::any_io_executor executor, const std::shared_ptr<grpc::Channel>& channel,
               const std::string& method, std::string_view request, time_point deadline, const metadata& headers = {});
    unary_call(const unary_call&) = delete;
    unary_call& operator=(const unary_call&) = delete;
    /// Cancels a call that has not ended. Better to wait for finished().
    ~unary_call();

    /// Asks for its end, which comes soon.
    void cancel();

    /// Waits for the end, once. When the waiting task is cancelled the call is too, and the end is waited for all the
    /// same; the task's cancellation has been taken note of then (`canceled`) and does not end further waits.
    boost::asio::awaitable<outcome> finished();

private:
    struct state;
    std::shared_ptr<state> state_;  // also gRPC's, until the call has ended
    one_shot<outcome> outcome_;
};

}  // namespace buildkit_lb::health
