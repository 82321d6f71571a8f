#include "health/unary_call.hpp"

#include <algorithm>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/this_coro.hpp>
#include <chrono>
#include <climits>
#include <cstdint>
#include <grpc/grpc.h>
#include <grpc/support/log.h>
#include <grpc/support/time.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/channel_arguments.h>
#include <mutex>

#include "core/log.hpp"

namespace buildkit_lb::health {

namespace asio = boost::asio;

namespace {

// What BuildKit's own programs accept.
constexpr int max_message = 16 << 20;
// The trailers of an error carry its details.
constexpr int max_metadata = 256 << 10;

/// Percent-encodes what has a meaning of its own in a URI.
std::string encoded(std::string_view text)
{
    std::string out;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (std::isalnum(byte) != 0 || std::string_view{"-._~/"}.find(c) != std::string_view::npos) {
            out += c;
        } else {
            out += fmt::format("%{:02X}", byte);
        }
    }
    return out;
}

/// The worker's address as gRPC names it. Numbers don't go through its resolver.
std::string target_of(const endpoint& worker)
{
    if (worker.type == endpoint::kind::unix_socket) {
        return "unix:" + encoded(worker.path);
    }
    boost::system::error_code error;
    const auto address = asio::ip::make_address(worker.host, error);
    const std::string port = std::to_string(worker.port);
    if (error) {
        return "dns:///" + encoded(worker.host) + ":" + port;
    }
    return address.is_v6() ? "ipv6:" + encoded("[" + worker.host + "]") + ":" + port
                           : "ipv4:" + worker.host + ":" + port;
}

/// gRPC's own messages are not for people who run the balancer, and its format is not that of our log.
void log_of_grpc(gpr_log_func_args* args)
{
    log::debug("gRPC", {{"message", args->message}});
}

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

grpc_library::grpc_library()
{
    static std::once_flag once;
    std::call_once(once, [] { gpr_set_log_function(log_of_grpc); });
    grpc_init();
}

grpc_library::~grpc_library()
{
    grpc_shutdown_blocking();
}

std::shared_ptr<grpc::Channel> make_worker_channel(const endpoint& worker, duration timeout,
                                                   const tls::client_context* tls)
{
    grpc::ChannelArguments arguments;
    auto credentials = grpc::InsecureChannelCredentials();
    if (tls != nullptr) {
        const auto& pem = tls->pem();
        credentials = grpc::SslCredentials({pem.ca, pem.key, pem.cert});
        if (!tls->server_name().empty()) {
            arguments.SetSslTargetNameOverride(tls->server_name());
        }
    }
    arguments.SetMaxReceiveMessageSize(max_message);
    arguments.SetInt(GRPC_ARG_MAX_METADATA_SIZE, max_metadata);
    arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
    // How long an attempt to connect may take; the name is that of another of its uses.
    const auto milliseconds = [](duration d) {
        const auto count = std::chrono::duration_cast<std::chrono::milliseconds>(d).count();
        return static_cast<int>(std::clamp<std::int64_t>(count, 1, INT_MAX));
    };
    arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, milliseconds(timeout * 3 / 4));
    // When it has failed there is time to drop the channel before the next attempt: see drop_unless_connecting.
    arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, milliseconds(timeout * 2));
    arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, milliseconds(timeout * 2));
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
    arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
    arguments.SetInt(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
    arguments.SetUserAgentPrefix("buildkit-lb");
    return grpc::CreateCustomChannel(target_of(worker), credentials, arguments);
}

void drop_unless_connecting(std::shared_ptr<grpc::Channel>& channel)
{
    if (!channel) {
        return;
    }
    const auto state = channel->GetState(false);
    // Idle: a call has been made on it, and on a busy machine gRPC may not have begun to connect yet.
    if (state == GRPC_CHANNEL_READY || state == GRPC_CHANNEL_TRANSIENT_FAILURE) {
        channel.reset();
    }
}

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
