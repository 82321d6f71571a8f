#pragma once

#include <cstddef>
#include <cstdint>

#include "core/failure.hpp"

namespace buildkit_lb::proxy {

struct buildkit_service;

/// What one client may have at once, or send in one piece. A client is one connection: behind one address may be every
/// CI job of a company. Each has a config key under `limits`.
struct client_limits {
    std::uint32_t internal_builds = 200;
    std::uint32_t queued_builds = 500;
    std::uint32_t held_calls = 2000;
    std::uint32_t sessions = 1000;
    std::size_t message_size = std::size_t{16} << 20;  ///< of a request that is read, in bytes
};

/// One of what is counted, for as long as it lives. On the thread of the connection.
class counted_in {
public:
    explicit counted_in(std::uint32_t& count) : count_{count} { ++count_; }
    counted_in(const counted_in&) = delete;
    counted_in& operator=(const counted_in&) = delete;
    ~counted_in() { --count_; }

private:
    std::uint32_t& count_;
};

/// A client wants one more than it may have: counts that, and says what to answer.
failure too_many_queued_builds(const buildkit_service& of);
failure too_many_held_calls(const buildkit_service& of);
failure too_many_sessions(const buildkit_service& of);
failure message_too_large(const buildkit_service& of);

}  // namespace buildkit_lb::proxy
