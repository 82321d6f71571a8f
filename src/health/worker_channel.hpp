#pragma once

#include <grpcpp/channel.h>
#include <memory>
#include <mutex>
#include <vector>

#include "core/endpoint.hpp"
#include "core/types.hpp"
#include "tls/context.hpp"

namespace buildkit_lb::health {

/// Keeps gRPC C++ loaded while it lives, so that a channel more or less does not start and end its threads. Destroy it
/// after the last channel, and not on a thread of gRPC's. Any thread.
class grpc_library {
public:
    /// The one of this process, as long as somebody has it.
    static std::shared_ptr<grpc_library> shared();

    grpc_library();
    ~grpc_library();
    grpc_library(const grpc_library&) = delete;
    grpc_library& operator=(const grpc_library&) = delete;

    /// Destroys a channel that nobody needs any more, at a later retire() or sweep() if it may be connecting: gRPC 1.51
    /// leaks the connection of a channel that is destroyed after it has connected and before the other side's SETTINGS
    /// have come, if they come later (a worker that hung for a while).
    void retire(std::shared_ptr<grpc::Channel> channel);
    void sweep();

private:
    struct retired {
        std::shared_ptr<grpc::Channel> channel;
        time_point until;
    };
    std::mutex mutex_;
    std::vector<retired> retired_;
};

/// The connection of one worker's probes: made when it is needed, kept between probes, made anew when it is lost.
/// Control thread.
class worker_channel {
public:
    /// `tls` is null for a worker in the clear.
    worker_channel(std::shared_ptr<grpc_library> library, endpoint worker,
                   std::shared_ptr<const tls::client_context> tls);
    ~worker_channel();
    worker_channel(const worker_channel&) = delete;
    worker_channel& operator=(const worker_channel&) = delete;

    /// A channel for calls that may last for `timeout`; it gives up connecting before they do.
    const std::shared_ptr<grpc::Channel>& get(duration timeout);

    /// A call has failed. If there is a connection it may have died silently, and would fail all later calls: the next
    /// get() begins anew. While there is none the channel goes on connecting.
    void failed();

private:
    const std::shared_ptr<grpc_library> library_;
    const endpoint worker_;
    const std::shared_ptr<const tls::client_context> tls_;
    std::shared_ptr<grpc::Channel> channel_;
};

}  // namespace buildkit_lb::health
