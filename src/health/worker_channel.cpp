#include "health/worker_channel.hpp"

#include <algorithm>
#include <boost/asio/ip/address.hpp>
#include <chrono>
#include <climits>
#include <cstdint>
#include <grpc/grpc.h>
#include <grpc/support/log.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/support/channel_arguments.h>
#include <string>
#include <string_view>
#include <utility>

#include "core/log.hpp"

namespace buildkit_lb::health {

namespace {

// What BuildKit's own programs accept.
constexpr int max_message = 16 << 20;
// The trailers of an error carry its details.
constexpr int max_metadata = 256 << 10;

// For how long a retired channel is kept that has no connection. It may be connecting all that time, and doesn't say
// so: one that has failed once stays TRANSIENT_FAILURE until it is READY. A worker that answers within a minute after
// it has left the pool costs nothing, then.
constexpr std::chrono::minutes retired_for{1};

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
    const auto address = boost::asio::ip::make_address(worker.host, error);
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

bool is_connected(grpc::Channel& channel)
{
    return channel.GetState(false) == GRPC_CHANNEL_READY;
}

std::shared_ptr<grpc::Channel> make_channel(const endpoint& worker, duration timeout, const tls::client_context* tls)
{
    // Nothing is sent but calls (no keepalive, no bandwidth probes: a buildkitd answers PINGs with GOAWAY), there is no
    // proxy from the environment, and no connection is shared with another channel.
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
    const auto milliseconds = [](duration d) {
        const auto count = std::chrono::duration_cast<std::chrono::milliseconds>(d).count();
        return static_cast<int>(std::clamp<std::int64_t>(count, 1, INT_MAX));
    };
    // How long an attempt to connect may take; the name is that of another of its uses.
    arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, milliseconds(timeout * 3 / 4));
    // A call on a channel that can't connect is answered with what was seen last: that is to be fresh.
    arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, milliseconds(timeout / 2));
    arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, milliseconds(timeout / 2));
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
    arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
    arguments.SetInt(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
    arguments.SetUserAgentPrefix("buildkit-lb");
    return grpc::CreateCustomChannel(target_of(worker), credentials, arguments);
}

}  // namespace

std::shared_ptr<grpc_library> grpc_library::shared()
{
    static std::mutex mutex;
    static std::weak_ptr<grpc_library> one;
    const std::lock_guard lock{mutex};
    auto library = one.lock();
    if (!library) {
        library = std::make_shared<grpc_library>();
        one = library;
    }
    return library;
}

grpc_library::grpc_library()
{
    static std::once_flag once;
    std::call_once(once, [] { gpr_set_log_function(log_of_grpc); });
    grpc_init();
}

grpc_library::~grpc_library()
{
    retired_.clear();
    grpc_shutdown_blocking();
}

void grpc_library::retire(std::shared_ptr<grpc::Channel> channel)
{
    if (channel) {
        const std::lock_guard lock{mutex_};
        retired_.push_back({std::move(channel), clock::now() + retired_for});
    }
    sweep();
}

void grpc_library::sweep()
{
    const time_point now = clock::now();
    const std::lock_guard lock{mutex_};
    std::erase_if(retired_, [&](const retired& one) { return one.until <= now || is_connected(*one.channel); });
}

worker_channel::worker_channel(std::shared_ptr<grpc_library> library, endpoint worker,
                               std::shared_ptr<const tls::client_context> tls)
    : library_{std::move(library)}, worker_{std::move(worker)}, tls_{std::move(tls)}
{
}

worker_channel::~worker_channel()
{
    library_->retire(std::move(channel_));
}

const std::shared_ptr<grpc::Channel>& worker_channel::get(duration timeout)
{
    library_->sweep();
    if (!channel_) {
        channel_ = make_channel(worker_, timeout, tls_.get());
    }
    return channel_;
}

void worker_channel::failed()
{
    if (channel_ && is_connected(*channel_)) {
        channel_.reset();
    }
}

}  // namespace buildkit_lb::health
