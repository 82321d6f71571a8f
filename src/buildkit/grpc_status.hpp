#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace buildkit_lb::buildkit {

/// The status codes of gRPC, with their numbers on the wire.
enum class grpc_code : std::uint8_t {
    ok = 0,
    cancelled = 1,
    unknown = 2,
    invalid_argument = 3,
    deadline_exceeded = 4,
    not_found = 5,
    already_exists = 6,
    permission_denied = 7,
    resource_exhausted = 8,
    failed_precondition = 9,
    aborted = 10,
    out_of_range = 11,
    unimplemented = 12,
    internal = 13,
    unavailable = 14,
    data_loss = 15,
    unauthenticated = 16,
};

/// The name gRPC gives it, for example `UNAVAILABLE`. Bounded: fit for a metric label.
std::string_view name(grpc_code code);

/// The value of a `grpc-status` header or trailer. What is not a number from 0 to 16 is `unknown`, as gRPC wants it.
grpc_code parse_grpc_status(std::string_view value);

/// The value to write into `grpc-status`. Refers to static storage.
std::string_view grpc_status_value(grpc_code code);

/// A status message as it is written into `grpc-message`: printable ASCII but for `%` stays, every other byte
/// becomes %XX.
std::string percent_encode(std::string_view message);

/// The reverse. A `%` that is not followed by two hex digits stays as it is; nothing is an error.
std::string percent_decode(std::string_view value);

}  // namespace buildkit_lb::buildkit
