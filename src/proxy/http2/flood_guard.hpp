#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/token_bucket.hpp"
#include "core/types.hpp"
#include "http2/options.hpp"

namespace buildkit_lb::http2 {

/// What a peer sends too much of: work for us that carries nothing for anybody.
enum class flood : std::uint8_t { none, resets, pings, settings, window_updates, priorities, empty_frames };

/// For metrics and logs: `reset_flood`, …
std::string_view name_of(flood kind);

/// Decides when a peer floods. Every kind of frame that carries no payload has a token bucket; the peer floods where
/// one is empty. Answers to what we send are paid for by what we send (Envoy bounds WINDOW_UPDATE alike), so that a
/// peer which reads fast never meets a limit, however fast that is:
///
/// - each DATA frame of ours pays for the WINDOW_UPDATE frames and the PING (gRPC measures the bandwidth with them)
///   that it may cause;
/// - each request of ours pays for one RST_STREAM.
///
/// Pure: it is told of frames and of the time. One an engine, in both roles.
class flood_guard {
public:
    explicit flood_guard(const flood_limits& limits);

    /// A frame of the peer begins: `type`, `flags` and `length` of its header. The flood it makes, or none.
    flood frame(std::uint8_t type, std::uint8_t flags, std::uint32_t length, time_point now);

    /// The peer has sent what makes us reset a stream: as good as its own reset ("MadeYouReset", CVE-2025-8671).
    /// `large`: by a header list above the limit. A few hundred bytes may have cost us milliseconds: it counts for
    /// many.
    flood reset_caused(bool large, time_point now);

    /// We have sent a DATA frame.
    void data_sent();
    /// We have sent a request.
    void request_sent();

private:
    flood take(flood kind, double count, time_point now);
    token_bucket& bucket(flood kind) { return buckets_[static_cast<std::size_t>(kind) - 1]; }

    std::array<token_bucket, 6> buckets_;  // in the order of flood, without none
};

}  // namespace buildkit_lb::http2
