#include "health/unary_call.hpp"

#include <boost/asio/this_coro.hpp>
#include <chrono>
#include <grpc/support/time.h>
#include <grpcpp/client_context.h>
#include <grpcpp/generic/generic_stub.h>

namespace buildkit_lb::health {

namespace asio = boost::asio;

namespace {

gpr_timespec grpc_deadline(time_point deadline)
{
    const auto left = std::chrono::duration_cast<std::chrono::microseconds>(deadline - clock::now());
    return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_micros(left.count(), GPR_TIMESPAN));
}

std::string bytes_of(const grpc::ByteBuffer& buffer)
{
    std::vector<grpc::Slice> slices;
    std::string bytes;
    if (buffer.Valid() && buffer.Dump(&slices).ok()) {
        for (const auto& slice : slices) {
            bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
        }
    }
    return bytes;
}

}  // namespace

struct unary_call::state {
    explicit state(const std::shared_ptr<grpc::Channel>& on) : channel{on}, stub{on} {}

    std::shared_ptr<grpc::Channel> channel;
    grpc::GenericStub stub;
    grpc::ClientContext context;
    grpc::ByteBuffer request;
    grpc::ByteBuffer response;
};

unary_call::unary_call(asio::any_io_executor executor, const std::shared_ptr<grpc::Channel>& channel,
                       const std::string& method, std::string_view request, time_point deadline,
                       const metadata& headers)
    : state_{std::make_shared<state>(channel)}, outcome_{std::move(executor)}
{
    const grpc::Slice bytes{request.data(), request.size()};
    state_->request = grpc::ByteBuffer{&bytes, 1};
    state_->context.set_deadline(grpc_deadline(deadline));
    for (const auto& [name, value] : headers) {
        state_->context.AddMetadata(name, value);
    }
    // On a thread of gRPC's.
    auto ended = [kept = state_, done = outcome_.setter()](const grpc::Status& status) mutable {
        outcome found;
        found.code = static_cast<buildkit::grpc_code>(status.error_code());
        found.message = status.error_message();
        found.connected = kept->channel->GetState(false) == GRPC_CHANNEL_READY;
        if (status.ok()) {
            found.response = bytes_of(kept->response);
        }
        // Nothing of gRPC's is ours any more when the waiting side goes on.
        kept.reset();
        done(std::move(found));
    };
    state_->stub.UnaryCall(&state_->context, method, {}, &state_->request, &state_->response, std::move(ended));
}

unary_call::~unary_call()
{
    cancel();
}

void unary_call::cancel()
{
    state_->context.TryCancel();
}

asio::awaitable<unary_call::outcome> unary_call::finished()
{
    bool canceled = false;
    for (;;) {
        try {
            auto found = co_await outcome_.wait();
            found->canceled = canceled;
            co_return std::move(*found);
        } catch (const boost::system::system_error&) {
            // The waiting task is to end. gRPC may call back until it has said that the call is over.
            canceled = true;
        }
        cancel();
        co_await asio::this_coro::reset_cancellation_state();
    }
}

}  // namespace buildkit_lb::health
