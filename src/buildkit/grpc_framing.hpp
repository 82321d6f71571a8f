#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/failure.hpp"

namespace buildkit_lb::buildkit {

/// The largest message passed on: BuildKit's programs allow 16 MiB, and a little more costs nothing.
inline constexpr std::size_t default_max_message = (std::size_t{16} << 20) + (std::size_t{64} << 10);

/// The bytes before each message of a gRPC body: a flag for compression and the length, big endian.
inline constexpr std::size_t message_header_size = 5;

/// Encodes the header of a message of `length` bytes. Lengths of 4 GiB and more are a caller's mistake.
std::array<char, message_header_size> message_header(std::size_t length, bool compressed = false);

/// The payload with its header before it, ready for a DATA frame.
std::string framed(std::string_view payload, bool compressed = false);

/// Finds the boundaries of the messages in one direction of a gRPC call without keeping a byte of them.
///
/// Owned by whoever reads that stream and called on its thread. For taps, and for knowing where a message of the
/// balancer's own may be put between the peer's (at_boundary()).
class message_scanner {
public:
    /// A part of one message. The pieces of a message come in order; `last` is true on the one that completes it.
    struct piece {
        std::string_view bytes;    ///< payload, without the header; refers to the caller's chunk; may be empty
        std::uint32_t length = 0;  ///< of the whole payload
        bool compressed = false;
        bool first = false;
        bool last = false;
    };

    /// `side` is where the bytes come from: it becomes the source of failures. A longer message than `max_message`
    /// is refused with errc::too_large as soon as its header is there.
    explicit message_scanner(failure_source side, std::size_t max_message = default_max_message);

    /// Takes bytes off the front of `chunk` up to the end of a message or of the chunk. Nothing: the chunk is used up
    /// within a header. Loop until `chunk` is empty. After a failure the scanner stays failed.
    result<std::optional<piece>> next(std::string_view& chunk);

    /// True between two messages, and before the first: not inside a header or a payload.
    bool at_boundary() const { return header_filled_ == 0; }

    /// Messages completed so far.
    std::uint64_t messages() const { return messages_; }

private:
    failure_source side_;
    std::size_t max_message_;
    std::array<char, message_header_size> header_{};
    std::size_t header_filled_ = 0;  // 5: inside a payload
    std::uint32_t length_ = 0;
    std::size_t left_ = 0;
    bool started_ = false;  // a piece of the current payload was handed out
    bool failed_ = false;
    std::uint64_t messages_ = 0;
};

/// One message of a gRPC body.
struct grpc_message {
    std::string payload;
    bool compressed = false;  ///< see inflate.hpp

    std::string framed() const { return buildkit::framed(payload, compressed); }
};

/// Puts the messages of one direction of a gRPC call together from chunks of any size.
///
/// Owned by whoever reads that stream and called on its thread. It holds at most one unfinished message, and no
/// memory for bytes that were announced but did not come.
class message_reader {
public:
    explicit message_reader(failure_source side, std::size_t max_message = default_max_message);

    /// Takes bytes off the front of `chunk` until a message is complete or the chunk is empty. What follows a message
    /// stays in `chunk`:
    ///
    ///     while (!chunk.empty()) {
    ///         auto message = reader.next(chunk);
    ///         if (!message) { … message.error() … }
    ///         if (*message) { use(**message); }
    ///     }
    result<std::optional<grpc_message>> next(std::string_view& chunk);

    bool at_boundary() const { return scanner_.at_boundary(); }
    std::uint64_t messages() const { return scanner_.messages(); }
    /// Bytes of the unfinished message held now.
    std::size_t held() const { return partial_.size(); }

private:
    message_scanner scanner_;
    std::string partial_;
};

}  // namespace buildkit_lb::buildkit
