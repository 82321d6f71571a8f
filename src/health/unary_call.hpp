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
#include "core/event.hpp"

namespace buildkit_lb::health {

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
