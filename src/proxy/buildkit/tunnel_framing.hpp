#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "core/buffer.hpp"

namespace buildkit_lb::proxy {

/// The most tunnel bytes that go into one message: what BuildKit's own programs send.
inline constexpr std::size_t max_tunnel_message = 32 * 1024;

/// Takes the bytes of a session tunnel out of the messages of Control/Session, by reference and as they come: a part
/// of a message is passed on before its end is there, so the memory used does not depend on the messages' sizes.
///
/// A message is a gRPC header (flag, length) and a BytesMessage of BuildKit's control.proto, whose field 1 are the
/// bytes; other fields are skipped. Owned by one direction of one tunnel.
class tunnel_reader {
public:
    /// Appends the tunnel bytes in `input` to `out`. False when the input is no such message (or a compressed one):
    /// the tunnel is to be ended, and the reader is of no further use.
    bool read(buffer_slice input, std::vector<buffer_slice>& out);

private:
    enum class expecting : std::uint8_t { header, tag, varint, length, bytes, skipped };

    bool start_field(std::uint64_t tag);
    void field_done();

    expecting state_ = expecting::header;
    std::array<unsigned char, 5> header_{};
    std::size_t header_filled_ = 0;
    std::uint64_t message_left_ = 0;
    std::uint64_t number_ = 0;  // the varint being read
    unsigned shift_ = 0;
    std::uint64_t field_left_ = 0;
    bool field_is_data_ = false;
};

/// What stands before `count` tunnel bytes to make them a message of Control/Session. `count` is not 0.
buffer_slice tunnel_message_head(std::size_t count);

}  // namespace buildkit_lb::proxy
